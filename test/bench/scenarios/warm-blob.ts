import { setTimeout as delay } from 'node:timers/promises';
import { curlSeconds } from '../curl.ts';
import { ratios } from '../figure.ts';
import type { UpstreamContent } from '../nginx-upstream.ts';
import type { ServerProcess } from '../server-process.ts';
import { MIB, type Scenario, type Workbench } from '../workbench.ts';

const SIZE_BYTES = 512 * MIB;
/** Downloads in one measurement: CPU time is told in steps of 10 ms. */
const DOWNLOADS = 4;
const WARM_UP_LIMIT = 6;

interface Side {
  readonly url: string;
  readonly process?: ServerProcess;
  readonly megabytesPerSecond: number[];
  readonly cpuSecondsPerGigabyte: number[];
}

/** A cached blob to one client, beside docker-registry's proxy. */
export const warmBlob: Scenario = {
  name: 'warm-blob',
  says: 'a cached 512 MiB blob to one client, four times in a row (curl)',
  async run(bench) {
    const blob = await bench.upstream.addBlob(SIZE_BYTES);
    const side = (url: string, server?: ServerProcess): Side => ({
      url: url + blob.path,
      ...(server && { process: server }),
      megabytesPerSecond: [],
      cpuSecondsPerGigabyte: [],
    });
    const [entrepot, registry] = [await bench.startEntrepot(), await bench.startDockerRegistry()];
    const ours = side(entrepot.url, entrepot.process);
    const theirs = side(registry.url, registry.process);
    const direct = side(bench.upstream.url);
    await warm(bench, blob, ours);
    await warm(bench, blob, theirs);
    await bench.settle();
    const { curl } = bench.programs;
    const before = await bench.upstream.transfers(blob);
    for (let round = 0; round < bench.rounds; round += 1) {
      await measure(theirs, curl);
      await measure(ours, curl);
    }
    const after = await bench.upstream.transfers(blob);
    if (after.requests !== before.requests) throw new Error('the caches were not warm');
    for (let round = 0; round < bench.rounds; round += 1) await measure(direct, curl);
    return [
      { name: 'entrepot', unit: 'MB/s', values: ours.megabytesPerSecond },
      { name: 'docker-registry', unit: 'MB/s', values: theirs.megabytesPerSecond },
      { name: 'nginx, static file', unit: 'MB/s', values: direct.megabytesPerSecond },
      {
        name: 'entrepot ÷ docker-registry, MB/s',
        unit: '×',
        values: ratios(ours.megabytesPerSecond, theirs.megabytesPerSecond),
        target: { is: 'at least', value: 1 },
      },
      { name: 'entrepot', unit: 'CPU s/GB', values: ours.cpuSecondsPerGigabyte },
      { name: 'docker-registry', unit: 'CPU s/GB', values: theirs.cpuSecondsPerGigabyte },
      {
        name: 'entrepot ÷ docker-registry, CPU s/GB',
        unit: '×',
        values: ratios(ours.cpuSecondsPerGigabyte, theirs.cpuSecondsPerGigabyte),
        target: { is: 'at most', value: 1 },
      },
    ];
  },
};

/** Until an answer costs no upstream request any more: docker-registry needs two or three. */
async function warm(bench: Workbench, blob: UpstreamContent, { url }: Side): Promise<void> {
  for (let time = 0; time < WARM_UP_LIMIT; time += 1) {
    const before = await bench.upstream.transfers(blob);
    await curlSeconds(bench.programs.curl, url);
    const after = await bench.upstream.transfers(blob);
    if (after.requests === before.requests) return;
    // It stores behind the answer's back, by another transfer.
    await delay(1000);
  }
  throw new Error(`${url} does not get warm`);
}

async function measure(side: Side, curl: string): Promise<void> {
  const cpuBefore = (await side.process?.cpuSeconds()) ?? 0;
  let seconds = 0;
  for (let time = 0; time < DOWNLOADS; time += 1) seconds += await curlSeconds(curl, side.url);
  const cpuAfter = (await side.process?.cpuSeconds()) ?? 0;
  const gigabytes = (DOWNLOADS * SIZE_BYTES) / 1e9;
  side.megabytesPerSecond.push((gigabytes * 1000) / seconds);
  side.cpuSecondsPerGigabyte.push((cpuAfter - cpuBefore) / gigabytes);
}
