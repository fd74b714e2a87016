import { download } from '../download.ts';
import type { UpstreamContent } from '../nginx-upstream.ts';
import { MIB, type Scenario } from '../workbench.ts';

const BLOBS = 50;
const SIZE_BYTES = 64 * MIB;

/** Memory does not grow with what is under way. */
export const memory: Scenario = {
  name: 'memory',
  says: '50 different cold 64 MiB blobs at once (own client, which hashes every body; a new process each round)',
  async run(bench) {
    const blobs: UpstreamContent[] = [];
    for (let number = 0; number < BLOBS; number += 1) blobs.push(await bench.upstream.addBlob(SIZE_BYTES));
    const [idle, peak, right, seconds]: [number[], number[], number[], number[]] = [[], [], [], []];
    for (let round = 0; round < bench.rounds; round += 1) {
      const entrepot = await bench.startEntrepot();
      await bench.settle();
      idle.push((await entrepot.process.peakRssBytes()) / MIB);
      const startedMs = performance.now();
      const downloads = await Promise.all(
        blobs.map(async ({ path, digest }) => {
          const done = await download(entrepot.url + path, { hashed: true });
          return done.digest === digest;
        }),
      );
      seconds.push((performance.now() - startedMs) / 1000);
      right.push(downloads.filter((isRight) => isRight).length);
      peak.push((await entrepot.process.peakRssBytes()) / MIB);
      await bench.retire(entrepot);
    }
    return [
      {
        name: 'peak resident set',
        unit: 'MiB',
        values: peak,
        target: { is: 'at most', value: 300 },
      },
      { name: 'the same before the pulls', unit: 'MiB', values: idle },
      {
        name: 'bodies with the right digest',
        unit: '',
        values: right,
        target: { is: 'exactly', value: BLOBS },
      },
      { name: 'all of them took', unit: 's', values: seconds },
    ];
  },
};
