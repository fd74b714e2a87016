import { coldContest, OURS } from '../contest.ts';
import { GIB } from '../machine-size.ts';
import type { UpstreamImage } from '../nginx-upstream.ts';
import { pullImage } from '../pull.ts';
import { ratiosOf, standings, valuesOf } from '../standings.ts';
import { MIB, type Scenario } from '../workbench.ts';

const IMAGES = 50;
const SIZE_BYTES = 64 * MIB;
const QUICK_BYTES = 16 * MIB;

/** Memory does not grow with what is under way, and nothing waits for its turn. */
export const peerMany: Scenario = {
  name: 'peer-many',
  says: `${IMAGES} different cold images with a layer of 64 MiB each (--quick: 16), pulled at once`,
  needs: () => ({ diskBytes: 8 * GIB, treeBytes: 4 * GIB }),
  async run(bench) {
    const layerBytes = bench.quick ? QUICK_BYTES : SIZE_BYTES;
    const row = `${IMAGES} cold images of ${layerBytes / MIB} MiB at once`;
    const images: UpstreamImage[] = [];
    for (let count = 0; count < IMAGES; count += 1) images.push(await bench.upstream.addImage([layerBytes]));
    const outcome = await coldContest(bench, {
      deliveredBytes: images.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
      contents: { '': images.flatMap(({ contents }) => contents) },
      async run(url, options) {
        const began = performance.now();
        const pulls = await Promise.all(images.map(async (image) => pullImage(url, image, options)));
        return {
          seconds: (performance.now() - began) / 1000,
          slowestFirstByteMs: Math.max(...pulls.map(({ firstByteMs }) => firstByteMs)),
        };
      },
    });
    return [
      ...standings(outcome, [
        { key: 'seconds', name: 'all of them', unit: 's', row },
        { key: 'slowestFirstByteMs', name: 'slowest first byte', unit: 'ms' },
        { key: 'cpuPerGigabyte', name: 'CPU', unit: 's/GB' },
        { key: 'upstreamShare', name: 'upstream bytes', unit: '×' },
        { key: 'peakRssMib', name: 'peak memory', unit: 'MiB', row: `${row}: peak memory` },
      ]),
      {
        name: `${OURS}: peak memory`,
        unit: 'MiB',
        values: valuesOf(outcome, OURS, 'peakRssMib'),
        target: { is: 'at most', value: 300 },
      },
      {
        name: `${OURS}: upstream bytes`,
        unit: '×',
        values: valuesOf(outcome, OURS, 'upstreamShare'),
        target: { is: 'exactly', value: 1 },
      },
      ...ratiosOf(outcome, { key: 'seconds', name: 'all of them' }),
    ];
  },
};
