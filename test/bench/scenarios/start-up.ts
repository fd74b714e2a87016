import { download } from '../download.ts';
import { startEntrepot } from '../entrepot-process.ts';
import { MANIFEST_TYPE } from '../nginx-upstream.ts';
import type { Scenario } from '../workbench.ts';

/** From the call of the program to the first manifest that it answered. With a million blobs: `scale`. */
export const startUp: Scenario = {
  name: 'start-up',
  says: 'from the start of the process to the first answered manifest, which comes from the upstream; a data directory that is not there yet (asked every 5 ms)',
  async run(bench) {
    const manifest = await bench.upstream.addManifest();
    const [seconds, cpuSeconds]: [number[], number[]] = [[], []];
    for (let round = 0; round < bench.rounds; round += 1) {
      const dir = await bench.newDir('entrepot');
      await bench.settle();
      const startedMs = performance.now();
      const entrepot = await startEntrepot({
        dir,
        upstreamUrl: bench.upstream.url,
        readyPath: manifest.path,
      });
      seconds.push((performance.now() - startedMs) / 1000);
      bench.adopt(entrepot);
      cpuSeconds.push(await entrepot.process.cpuSeconds());
      await download(entrepot.url + manifest.path, { accept: MANIFEST_TYPE, expected: manifest.source });
      await bench.retire(entrepot);
    }
    return [
      {
        name: 'to the first answer, empty store',
        unit: 's',
        values: seconds,
        target: { is: 'at most', value: 0.5 },
      },
      { name: 'CPU time until then', unit: 's', values: cpuSeconds },
    ];
  },
};
