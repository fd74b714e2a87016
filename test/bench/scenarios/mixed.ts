import { setTimeout as delay } from 'node:timers/promises';
import { download } from '../download.ts';
import { type EntrepotProcess, startEntrepot } from '../entrepot-process.ts';
import { percentile } from '../figure.ts';
import { LatencyProbe } from '../latency-probe.ts';
import { GIB } from '../machine-size.ts';
import { MANIFEST_TYPE, type UpstreamContent } from '../nginx-upstream.ts';
import { scrape } from '../scrape.ts';
import { MIB, type Scenario, type Workbench } from '../workbench.ts';

const BYTES_PER_SECOND = 10e9 / 60;
const SECONDS = 60;
const QUICK_SECONDS = 15;
/** As sizes of layers go: some large, most not. */
const SIZES_BYTES = [64 * MIB, 4 * MIB, 16 * MIB, MIB];
/** What ten seconds bring is passed over by eviction: it must be much less than the store. */
const STORE_BYTES = 4 * GIB;
/** So many may be behind their time; then the pace is not kept, which its figure tells. */
const WAITING_LIMIT = 16;

/** Warm answers while the store is full and everything that comes in puts something out. */
export const mixed: Scenario = {
  name: 'mixed',
  says: 'warm manifests every 5 ms (a client of its own) while 10 GB a minute of cold blobs of 1 to 64 MiB are pulled (own client, which compares every byte) into a store of 4 GiB that is full; a minute (--quick: a quarter of one) in each of the rounds',
  needs: ({ quick }) => ({
    cores: 2,
    memoryBytes: GIB,
    treeBytes: STORE_BYTES + BYTES_PER_SECOND * (quick ? QUICK_SECONDS : SECONDS),
    diskBytes: STORE_BYTES + 2 * GIB,
  }),
  async run(bench) {
    const manifest = await bench.upstream.addManifest();
    const series = { p99: [], worst: [], idleP99: [], filled: [], evicted: [], lag: [] };
    const measured: Readonly<Record<keyof typeof series, number[]>> = series;
    const cache = { maxSize: STORE_BYTES, minFreeSpace: 0 };
    const options = { dir: await bench.newDir('entrepot'), upstreamUrl: bench.upstream.url, cache };
    const entrepot = bench.adopt(await startEntrepot(options));
    await download(entrepot.url + manifest.path, { accept: MANIFEST_TYPE, expected: manifest.source });
    await fillUp(bench, entrepot);
    const probe = new LatencyProbe(entrepot.url + manifest.path);
    for (let round = 0; round < bench.rounds; round += 1) {
      const blobs = await blobsFor(bench, bench.quick ? QUICK_SECONDS : SECONDS);
      await bench.settle();
      measured.idleP99.push(percentile(await probe.during(async () => delay(2000)), 0.99));
      const before = await scrape(entrepot.adminUrl);
      const startedMs = performance.now();
      const latencies = await probe.during(async () => pullAtPace(entrepot, blobs));
      const minutes = (performance.now() - startedMs) / 60_000;
      const after = await scrape(entrepot.adminUrl);
      measured.p99.push(percentile(latencies, 0.99));
      measured.worst.push(Math.max(...latencies));
      measured.filled.push(sizeOf(blobs) / 1e9 / minutes);
      measured.evicted.push((after.evictedBytes - before.evictedBytes) / 1e9 / minutes);
      measured.lag.push(after.lagP99Ms);
      for (const blob of blobs) await bench.upstream.remove(blob);
    }
    return [
      { name: "warm manifests' p99", unit: 'ms', values: measured.p99, target: { is: 'at most', value: 10 } },
      { name: 'the slowest of them', unit: 'ms', values: measured.worst },
      { name: 'p99 with nothing else going on', unit: 'ms', values: measured.idleP99 },
      {
        name: 'filled, or the p99 says nothing',
        unit: 'GB/min',
        values: measured.filled,
        target: { is: 'at least', value: 9.5 },
      },
      { name: 'evicted', unit: 'GB/min', values: measured.evicted },
      { name: 'event loop p99, of which 10 are its sampling', unit: 'ms', values: measured.lag },
    ];
  },
};

/** So that from the first second on there is something to evict for each byte. */
async function fillUp(bench: Workbench, entrepot: EntrepotProcess): Promise<void> {
  for (let bytes = 0; bytes < STORE_BYTES; bytes += 256 * MIB) {
    const blob = await bench.upstream.addBlob(256 * MIB);
    await download(entrepot.url + blob.path, { expected: blob.source });
    await bench.upstream.remove(blob);
  }
}

async function blobsFor(bench: Workbench, seconds: number): Promise<readonly UpstreamContent[]> {
  const blobs: UpstreamContent[] = [];
  for (let bytes = 0; bytes < BYTES_PER_SECOND * seconds;) {
    const blob = await bench.upstream.addBlob(SIZES_BYTES[blobs.length % SIZES_BYTES.length] ?? MIB);
    blobs.push(blob);
    bytes += blob.sizeBytes;
  }
  return blobs;
}

/** Each is asked for when its bytes are due, whether those before have come or not, unless these are many. */
async function pullAtPace(entrepot: EntrepotProcess, blobs: readonly UpstreamContent[]): Promise<void> {
  const startedMs = performance.now();
  const pulls = new Set<Promise<void>>();
  let dueMs = 0;
  let failure: unknown;
  for (const { path, source, sizeBytes } of blobs) {
    await delay(Math.max(0, startedMs + dueMs - performance.now()));
    if (pulls.size >= WAITING_LIMIT) await Promise.race(pulls);
    const pull: Promise<void> = download(entrepot.url + path, { expected: source })
      .then(
        () => undefined,
        (error: unknown) => void (failure ??= error),
      )
      .finally(() => pulls.delete(pull));
    pulls.add(pull);
    dueMs += (sizeBytes / BYTES_PER_SECOND) * 1000;
  }
  await Promise.all(pulls);
  if (failure !== undefined) throw failure;
}

function sizeOf(blobs: readonly UpstreamContent[]): number {
  return blobs.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
}
