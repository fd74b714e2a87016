import { execFile } from 'node:child_process';
import { rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { bundleSite, layerBytes, layoutImage, synced, writeLayout } from '../bundle-site.ts';
import { type Figure, ratios } from '../figure.ts';
import { measuredRun } from '../measured-run.ts';
import { MIB, type Scenario, type Workbench } from '../workbench.ts';

const LAYER_BYTES = 64 * MIB;
const LAYERS = 80;
const QUICK_LAYERS = 8;
const ROUNDS = 3;
/** For the delta: what stays, and the layer that changes. */
const KEPT_LAYERS = 20;
const KEPT_LAYER_BYTES = 4 * MIB;
const CHANGED_LAYER_BYTES = 256 * 1024;

/** What is carried to a site without internet. */
export const bundle: Scenario = {
  name: 'bundle',
  says: `entrepot export of ${(LAYERS * LAYER_BYTES) / MIB / 1024} GiB (--quick: ${(QUICK_LAYERS * LAYER_BYTES) / MIB} MiB) in 64 MiB layers, beside skopeo copy to an oci-archive, both until it is on the disk; a delta of one layer`,
  async run(bench) {
    return [...(await exporting(bench)), ...(await delta(bench))];
  },
};

async function exporting(bench: Workbench): Promise<readonly Figure[]> {
  const skopeo = await skopeoPath();
  const count = bench.quick ? QUICK_LAYERS : LAYERS;
  const dir = await bench.newDir('bundle');
  const layout = join(dir, 'layout');
  await writeLayout(layout, 'v1', layersOf(count, LAYER_BYTES));
  const site = await bundleSite(join(dir, 'site'));
  await site.run('import', layout);
  const mebibytes = (count * LAYER_BYTES) / MIB;
  const [ours, theirs, unsynced, peak, theirPeak]: [number[], number[], number[], number[], number[]] = [
    [],
    [],
    [],
    [],
    [],
  ];
  for (let round = 0; round < (bench.quick ? bench.rounds : ROUNDS); round += 1) {
    const [output, other] = [join(dir, 'out.tar'), join(dir, 'skopeo.tar')];
    await synced(dir);
    const exported = await site.run('export', layoutImage('v1'), '--output', output);
    ours.push(mebibytes / exported.seconds);
    peak.push(exported.peakRssBytes / MIB);
    await rm(output);
    await synced(dir);
    const name = layoutImage('v1');
    const copied = await measuredRun(skopeo, [
      'copy',
      '--all',
      '--preserve-digests',
      `oci:${layout}:${name}`,
      `oci-archive:${other}:${name}`,
    ]);
    unsynced.push(mebibytes / copied.seconds);
    theirs.push(mebibytes / (copied.seconds + (await synced(dir))));
    theirPeak.push(copied.peakRssBytes / MIB);
    await rm(other);
  }
  await rm(dir, { recursive: true });
  return [
    { name: 'export', unit: 'MiB/s', values: ours },
    { name: 'skopeo copy, and sync', unit: 'MiB/s', values: theirs },
    { name: 'skopeo copy alone', unit: 'MiB/s', values: unsynced },
    {
      name: 'export ÷ skopeo copy, and sync',
      unit: '',
      values: ratios(ours, theirs),
      target: { is: 'at least', value: 1 },
    },
    { name: 'peak resident set of export', unit: 'MiB', values: peak, target: { is: 'at most', value: 200 } },
    { name: 'peak resident set of skopeo', unit: 'MiB', values: theirPeak },
  ];
}

async function delta(bench: Workbench): Promise<readonly Figure[]> {
  const dir = await bench.newDir('delta');
  const kept = [...layersOf(KEPT_LAYERS, KEPT_LAYER_BYTES)];
  const [there, here] = [await bundleSite(join(dir, 'there')), await bundleSite(join(dir, 'here'))];
  for (const [tag, site] of [
    ['v1', there],
    ['v2', here],
  ] as const) {
    await writeLayout(join(dir, tag), tag, [...kept, layerBytes(CHANGED_LAYER_BYTES)]);
    await site.run('import', join(dir, tag));
  }
  const [inventory, full, part] = ['inventory', 'full.tar', 'delta.tar'].map((name) => join(dir, name)) as [
    string,
    string,
    string,
  ];
  await there.run('inventory', '--output', inventory);
  await here.run('export', layoutImage('v2'), '--output', full);
  await here.run('export', layoutImage('v2'), '--missing-only-from', inventory, '--output', part);
  const [fullBytes, deltaBytes] = [(await stat(full)).size, (await stat(part)).size];
  await rm(dir, { recursive: true });
  const changed = CHANGED_LAYER_BYTES / (KEPT_LAYERS * KEPT_LAYER_BYTES + CHANGED_LAYER_BYTES);
  return [
    {
      name: `delta ÷ full export (the layer that changed is ${(changed * 100).toFixed(2)} % of it)`,
      unit: '%',
      values: [(deltaBytes / fullBytes) * 100],
      target: { is: 'at most', value: 0.5 },
    },
  ];
}

function* layersOf(count: number, sizeBytes: number): Generator<Buffer> {
  for (let number = 0; number < count; number += 1) yield layerBytes(sizeBytes);
}

async function skopeoPath(): Promise<string> {
  try {
    const { stdout } = await promisify(execFile)('sh', ['-c', 'command -v skopeo']);
    return stdout.trim();
  } catch (cause) {
    throw new Error('skopeo is missing; on Debian: apt-get install skopeo', { cause });
  }
}
