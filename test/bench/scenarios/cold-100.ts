import { curlSeconds } from '../curl.ts';
import { ratios } from '../figure.ts';
import { MIB, type Scenario } from '../workbench.ts';

const SIZE_BYTES = 200 * MIB;
/** A hash is several times as fast as such a line. */
const HASHED = { hashed: true };

/** From an upstream that is the bottleneck, a cold pull takes as long as the direct one. */
export const cold100: Scenario = {
  name: 'cold-100',
  says: 'one cold 200 MiB blob from an upstream held to 100 MB/s (curl; nginx limit_rate)',
  async run(bench) {
    const curl = await bench.program('curl');
    const { limitedUrl } = bench.upstream;
    const entrepot = await bench.startEntrepot(limitedUrl);
    const [direct, ours]: [number[], number[]] = [[], []];
    for (let round = 0; round < bench.rounds; round += 1) {
      const blob = await bench.upstream.addBlob(SIZE_BYTES);
      await bench.settle();
      direct.push(await curlSeconds(curl, limitedUrl + blob.path, blob, HASHED));
      ours.push(await curlSeconds(curl, entrepot.url + blob.path, blob, HASHED));
      await bench.upstream.remove(blob);
    }
    return [
      { name: 'direct download', unit: 's', values: direct },
      { name: 'entrepot, cold', unit: 's', values: ours },
      {
        name: 'entrepot ÷ direct',
        unit: '×',
        values: ratios(ours, direct),
        target: { is: 'at most', value: 1.02 },
      },
    ];
  },
};
