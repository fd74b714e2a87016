import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { curlSeconds } from '../curl.ts';
import { download } from '../download.ts';
import { lagP99Ms } from '../scrape.ts';
import { percentile, ratios } from '../figure.ts';
import { LatencyProbe } from '../latency-probe.ts';
import { MANIFEST_TYPE } from '../nginx-upstream.ts';
import { MIB, type Scenario } from '../workbench.ts';

const SIZE_BYTES = 512 * MIB;
const FIRST_BYTE_SIZE_BYTES = 64 * MIB;

/** One cold blob over loopback: no transfer can be verified faster than it comes or than it is hashed. */
export const cold: Scenario = {
  name: 'cold',
  says: 'one cold 512 MiB blob over loopback (curl); the first byte of a 64 MiB one (own client); another 512 MiB while a second client asks for warm manifests',
  async run(bench) {
    const entrepot = await bench.startEntrepot();
    const manifest = await bench.upstream.addManifest();
    await download(entrepot.url + manifest.path, { accept: MANIFEST_TYPE });
    const curl = await bench.program('curl');
    const probe = new LatencyProbe(entrepot.url + manifest.path);
    const series = { direct: [], hash: [], ours: [], firstByte: [], busyP99: [], idleP99: [], lagP99: [] };
    const measured: Readonly<Record<keyof typeof series, number[]>> = series;
    for (let round = 0; round < bench.rounds; round += 1) {
      const blob = await bench.upstream.addBlob(SIZE_BYTES);
      await bench.settle();
      measured.direct.push(await curlSeconds(curl, bench.upstream.url + blob.path));
      measured.hash.push(await hashSeconds(blob.file));
      measured.ours.push(await curlSeconds(curl, entrepot.url + blob.path));
      await bench.upstream.remove(blob);

      const small = await bench.upstream.addBlob(FIRST_BYTE_SIZE_BYTES);
      await bench.settle();
      const direct = await download(bench.upstream.url + small.path);
      const ours = await download(entrepot.url + small.path);
      measured.firstByte.push(ours.firstByteMs - direct.firstByteMs);
      await bench.upstream.remove(small);

      const other = await bench.upstream.addBlob(SIZE_BYTES);
      await bench.settle();
      measured.idleP99.push(percentile(await probe.during(async () => idle()), 0.99));
      await lagP99Ms(entrepot.adminUrl);
      const busy = await probe.during(async () => void (await curlSeconds(curl, entrepot.url + other.path)));
      measured.lagP99.push(await lagP99Ms(entrepot.adminUrl));
      measured.busyP99.push(percentile(busy, 0.99));
      await bench.upstream.remove(other);
    }
    const longer = measured.direct.map((seconds, round) => Math.max(seconds, measured.hash[round] ?? 0));
    return [
      { name: 'direct download', unit: 's', values: measured.direct },
      { name: 'one SHA-256 pass', unit: 's', values: measured.hash },
      { name: 'entrepot, cold', unit: 's', values: measured.ours },
      {
        name: 'entrepot ÷ the longer of the two',
        unit: '×',
        values: ratios(measured.ours, longer),
        target: { is: 'at most', value: 1.4 },
      },
      {
        name: "first byte after the direct download's",
        unit: 'ms',
        values: measured.firstByte,
        target: { is: 'at most', value: 10 },
      },
      {
        name: "other requests' p99 during it",
        unit: 'ms',
        values: measured.busyP99,
        target: { is: 'at most', value: 20 },
      },
      { name: 'the same with nothing else going on', unit: 'ms', values: measured.idleP99 },
      { name: 'event loop p99, of which 10 are its sampling', unit: 'ms', values: measured.lagP99 },
    ];
  },
};

async function idle(): Promise<void> {
  await delay(1000);
}

/** Only the hashing, not the reading; in 1 MiB pieces. */
async function hashSeconds(path: string): Promise<number> {
  const hash = createHash('sha256');
  const buffer = Buffer.allocUnsafe(MIB);
  const file = await open(path);
  let spentMs = 0;
  try {
    for (;;) {
      const { bytesRead } = await file.read(buffer, 0, MIB);
      if (bytesRead === 0) break;
      const before = performance.now();
      hash.update(buffer.subarray(0, bytesRead));
      spentMs += performance.now() - before;
    }
  } finally {
    await file.close();
  }
  return spentMs / 1000;
}
