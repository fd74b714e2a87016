import { curlSeconds } from '../curl.ts';
import { ratios } from '../figure.ts';
import { MIB, type Scenario } from '../workbench.ts';

const SIZE_BYTES = 512 * MIB;
/** A hash is several times as fast as such a line. */
const HASHED = { hashed: true };

/** From an upstream that holds each connection down, a cold pull is as much faster as it uses several. */
export const slowLine: Scenario = {
  name: 'slow-line',
  says: 'one cold 512 MiB blob from an upstream that gives each connection 20 MB/s (curl; nginx limit_rate), by an entrepot that does not know the line yet',
  async run(bench) {
    const curl = await bench.program('curl');
    const { cappedUrl } = bench.upstream;
    const [direct, ours, sent]: [number[], number[], number[]] = [[], [], []];
    for (let round = 0; round < bench.rounds; round += 1) {
      const entrepot = await bench.startEntrepot(cappedUrl);
      const blob = await bench.upstream.addBlob(SIZE_BYTES);
      await bench.settle();
      ours.push(await curlSeconds(curl, entrepot.url + blob.path, blob, HASHED));
      sent.push((await bench.upstream.transfers(blob)).bodyBytes / SIZE_BYTES);
      direct.push(await curlSeconds(curl, cappedUrl + blob.path, blob, HASHED));
      await bench.upstream.remove(blob);
      await bench.retire(entrepot);
    }
    return [
      { name: 'direct download', unit: 's', values: direct },
      { name: 'entrepot, cold', unit: 's', values: ours },
      {
        name: 'direct ÷ entrepot',
        unit: '×',
        values: ratios(direct, ours),
        target: { is: 'at least', value: 3 },
      },
      { name: 'upstream body bytes ÷ blob size', unit: '×', values: sent },
    ];
  },
};
