import { setTimeout as delay } from 'node:timers/promises';
import { download } from '../download.ts';
import { type EntrepotProcess, startEntrepot } from '../entrepot-process.ts';
import { MIB, type Scenario } from '../workbench.ts';

const WAIT_MS = 60_000;
const QUICK_WAIT_MS = 15_000;
const PULLED_BYTES = 256 * MIB;

/** What it takes to be there. */
export const idle: Scenario = {
  name: 'idle',
  says: 'resident set of a process that nobody asks, right after its start and after a minute (--quick: a quarter of one); then a minute after one cold 256 MiB pull (own client, which compares every byte)',
  async run(bench) {
    const waitMs = bench.quick ? QUICK_WAIT_MS : WAIT_MS;
    const blob = await bench.upstream.addBlob(PULLED_BYTES);
    const entrepots: EntrepotProcess[] = [];
    const atStart: number[] = [];
    for (let round = 0; round < bench.rounds; round += 1) {
      const options = { dir: await bench.newDir('entrepot'), upstreamUrl: bench.upstream.url };
      const entrepot = bench.adopt(await startEntrepot(options));
      atStart.push((await entrepot.process.rssBytes()) / MIB);
      entrepots.push(entrepot);
    }
    const residentSets = async (): Promise<readonly number[]> =>
      Promise.all(entrepots.map(async ({ process: server }) => (await server.rssBytes()) / MIB));
    await delay(waitMs);
    const later = await residentSets();
    for (const { url } of entrepots) await download(url + blob.path, { expected: blob.source });
    await delay(waitMs);
    const afterPull = await residentSets();
    const target = { is: 'at most', value: 90 } as const;
    return [
      { name: 'right after the start', unit: 'MiB', values: atStart, target },
      { name: 'after a minute', unit: 'MiB', values: later, target },
      { name: 'a minute after a pull', unit: 'MiB', values: afterPull },
    ];
  },
};
