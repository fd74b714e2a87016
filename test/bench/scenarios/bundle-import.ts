import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { bundleSite, layerBytes, layoutImage, synced, writeLayout } from '../bundle-site.ts';
import { ratios } from '../figure.ts';
import { measuredRun } from '../measured-run.ts';
import { MIB, type Scenario } from '../workbench.ts';

const LAYER_BYTES = 64 * MIB;
const LAYERS = 80;
const QUICK_LAYERS = 8;
const ROUNDS = 3;

/** What is carried in, at a site without internet. */
export const bundleImport: Scenario = {
  name: 'bundle-import',
  says: `entrepot import of a bundle of ${(LAYERS * LAYER_BYTES) / MIB / 1024} GiB (--quick: ${(QUICK_LAYERS * LAYER_BYTES) / MIB} MiB) in 64 MiB layers into an empty store, beside skopeo copy of the same file to an OCI directory, both until it is on the disk`,
  async run(bench) {
    const count = bench.quick ? QUICK_LAYERS : LAYERS;
    const dir = await bench.newDir('bundle-import');
    const [layout, bundle] = [join(dir, 'layout'), join(dir, 'bundle.tar')];
    await writeLayout(
      layout,
      'v1',
      (function* () {
        for (let number = 0; number < count; number += 1) yield layerBytes(LAYER_BYTES);
      })(),
    );
    const name = layoutImage('v1');
    const there = await bundleSite(join(dir, 'there'));
    await there.run('import', layout);
    await there.run('export', name, '--output', bundle);
    await rm(layout, { recursive: true });
    await rm(there.dataDir, { recursive: true });
    const mebibytes = (count * LAYER_BYTES) / MIB;
    const [ours, theirs, peak, theirPeak, again]: [number[], number[], number[], number[], number[]] = [
      [],
      [],
      [],
      [],
      [],
    ];
    for (let round = 0; round < (bench.quick ? bench.rounds : ROUNDS); round += 1) {
      const site = await bundleSite(join(dir, `here-${round}`));
      await synced(dir);
      const imported = await site.run('import', bundle);
      ours.push(mebibytes / (imported.seconds + (await synced(dir))));
      peak.push(imported.peakRssBytes / MIB);
      again.push((await site.run('import', bundle)).seconds);
      await rm(site.dataDir, { recursive: true });
      const other = join(dir, 'skopeo');
      await synced(dir);
      const copied = await measuredRun('skopeo', [
        'copy',
        '--all',
        '--preserve-digests',
        `oci-archive:${bundle}:${name}`,
        `oci:${other}:${name}`,
      ]);
      theirs.push(mebibytes / (copied.seconds + (await synced(dir))));
      theirPeak.push(copied.peakRssBytes / MIB);
      await rm(other, { recursive: true });
    }
    await rm(dir, { recursive: true });
    return [
      { name: 'import', unit: 'MiB/s', values: ours },
      { name: 'skopeo copy', unit: 'MiB/s', values: theirs },
      {
        name: 'import ÷ skopeo copy',
        unit: '',
        values: ratios(ours, theirs),
        target: { is: 'at least', value: 1 },
      },
      {
        name: 'peak resident set of import',
        unit: 'MiB',
        values: peak,
        target: { is: 'at most', value: 200 },
      },
      { name: 'peak resident set of skopeo', unit: 'MiB', values: theirPeak },
      { name: 'import of what is here already', unit: 's', values: again },
    ];
  },
};
