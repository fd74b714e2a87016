import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type EntrepotProcess, startEntrepot } from '../entrepot-process.ts';
import { percentile } from '../figure.ts';
import { LatencyProbe } from '../latency-probe.ts';
import { makeLargeStore, manifestPath } from '../large-store.ts';
import { scrape, scrapeMs } from '../scrape.ts';
import { MIB, type Scenario } from '../workbench.ts';

const FULL = { blobs: 1_000_000, manifests: 200_000 };
const QUICK = { blobs: 50_000, manifests: 10_000 };
/** What one blob of the data set takes on the disk. */
const BLOCK_BYTES = 4096;
/** Of the blobs, in the round in which the store is made smaller. */
const KEPT_SHARE = 0.8;
const WORK_LIMIT_MS = 10 * 60_000;

/** What a store of years costs: at start, in memory, and while it is checked and made smaller. */
export const scale: Scenario = {
  name: 'scale',
  says: 'a million blobs, 200,000 manifests: start after a clean end and after a kill, memory, requests while files and rows are compared and while a fifth is evicted',
  async run(bench) {
    const size = bench.quick ? QUICK : FULL;
    const dir = await bench.newDir('large-store');
    await makeLargeStore({ dataDir: join(dir, 'data'), ...size });
    const start = async (maxSizeBytes: number): Promise<[EntrepotProcess, number]> => {
      const began = performance.now();
      const cache = { maxSize: maxSizeBytes };
      const readyPath = manifestPath(1);
      const entrepot = bench.adopt(
        await startEntrepot({ dir, upstreamUrl: bench.upstream.url, cache, readyPath }),
      );
      return [entrepot, (performance.now() - began) / 1000];
    };
    const ample = size.blobs * BLOCK_BYTES * 2;
    const [clean, killed, idle]: [number[], number[], number[]] = [[], [], []];
    const scrapes: number[] = [];
    for (let round = 0; round < bench.rounds; round += 1) {
      const [first, cleanSeconds] = await start(ample);
      clean.push(cleanSeconds);
      idle.push((await first.process.peakRssBytes()) / MIB);
      scrapes.push(await scrapeMs(first.adminUrl));
      await first.process.kill();
      const [second, killedSeconds] = await start(ample);
      killed.push(killedSeconds);
      if (round === bench.rounds - 1) await second.process.kill();
      else await second.process.stop();
    }
    const [comparing] = await start(ample);
    const compared = await watched(comparing, async () => agrees(comparing));
    await comparing.process.stop();

    const [evicting] = await start(Math.floor(size.blobs * BLOCK_BYTES * KEPT_SHARE));
    const evicted = await watched(evicting, ({ storeBlobs }) => storeBlobs <= size.blobs * KEPT_SHARE);
    const { storeBlobs: left } = await scrape(evicting.adminUrl);
    await evicting.process.stop();
    return [
      {
        name: 'first answered manifest after a clean end',
        unit: 's',
        values: clean,
        target: { is: 'at most', value: 2 },
      },
      {
        name: 'first answered manifest after kill -9',
        unit: 's',
        values: killed,
        target: { is: 'at most', value: 5 },
      },
      { name: 'peak resident set at start', unit: 'MiB', values: idle },
      { name: 'a scrape, p99 of 100', unit: 'ms', values: scrapes, target: { is: 'at most', value: 10 } },
      { name: 'comparing files and rows took', unit: 's', values: [compared.seconds] },
      { name: 'requests meanwhile, p99', unit: 'ms', values: [compared.p99] },
      {
        name: 'event loop delay meanwhile, p99, of which 10 are its sampling',
        unit: 'ms',
        values: [compared.lag],
        target: { is: 'at most', value: 50 },
      },
      { name: 'resident set after it', unit: 'MiB', values: [compared.rss] },
      { name: 'evicting took', unit: 's', values: [evicted.seconds] },
      { name: 'blobs evicted', unit: '', values: [size.blobs - left] },
      { name: 'requests meanwhile, p99', unit: 'ms', values: [evicted.p99] },
      {
        name: 'event loop delay meanwhile, p99, of which 10 are its sampling',
        unit: 'ms',
        values: [evicted.lag],
        target: { is: 'at most', value: 50 },
      },
      { name: 'resident set after it', unit: 'MiB', values: [evicted.rss] },
    ];
  },
};

/** Looks at it once a second until it has done its work, while a client asks for small answers. */
async function watched(
  entrepot: EntrepotProcess,
  isDone: (seen: Awaited<ReturnType<typeof scrape>>) => Promise<boolean> | boolean,
) {
  const probe = new LatencyProbe(entrepot.url + manifestPath(1));
  const lags: number[] = [];
  await scrape(entrepot.adminUrl);
  const began = performance.now();
  const latencies = await probe.during(async () => {
    for (;;) {
      await delay(1000);
      const seen = await scrape(entrepot.adminUrl);
      lags.push(seen.lagP99Ms);
      if (await isDone(seen)) return;
      if (performance.now() - began > WORK_LIMIT_MS) throw new Error('it took too long');
    }
  });
  return {
    seconds: (performance.now() - began) / 1000,
    p99: percentile(latencies, 0.99),
    lag: Math.max(...lags),
    rss: (await entrepot.process.peakRssBytes()) / MIB,
  };
}

/** Whether files and rows agree, as its log says since it began to compare them. */
async function agrees({ dir }: EntrepotProcess): Promise<boolean> {
  const since = (await readFile(join(dir, 'log'), 'utf8'))
    .split('files and index are brought together')
    .at(-1);
  return since?.includes('files and index agree') === true;
}
