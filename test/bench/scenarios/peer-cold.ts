import { coldContest, OURS } from '../contest.ts';
import { type Figure, ratios } from '../figure.ts';
import { GIB } from '../machine-size.ts';
import { pullImage } from '../pull.ts';
import { sha256Seconds } from '../sha256-pass.ts';
import { type Metric, ratiosOf, standings, valuesOf } from '../standings.ts';
import { MIB, type Scenario } from '../workbench.ts';

const SIZE_BYTES = 512 * MIB;
const QUICK_BYTES = 128 * MIB;

function metrics(sizeBytes: number): readonly Metric[] {
  const row = `a cold image of ${sizeBytes / MIB} MiB, one layer`;
  return [
    { key: 'seconds', name: 'pull', unit: 's', row },
    { key: 'firstByteMs', name: 'first byte', unit: 'ms', row: `${row}: first byte` },
    { key: 'cpuPerGigabyte', name: 'CPU', unit: 's/GB', row: `${row}: CPU` },
    { key: 'upstreamShare', name: 'upstream bytes', unit: '×' },
    { key: 'peakRssMib', name: 'peak memory', unit: 'MiB' },
  ];
}

/** One cold image over loopback: no transfer can be verified faster than it comes or than it is hashed. */
export const peerCold: Scenario = {
  name: 'peer-cold',
  says: 'one client pulls one cold image with a layer of 512 MiB (--quick: 128); beside it the same from the upstream itself, and one SHA-256 pass',
  needs: () => ({ diskBytes: 2 * GIB, treeBytes: GIB }),
  async run(bench) {
    const sizeBytes = bench.quick ? QUICK_BYTES : SIZE_BYTES;
    const image = await bench.upstream.addImage([sizeBytes]);
    const [direct, hash]: [number[], number[]] = [[], []];
    const outcome = await coldContest(bench, {
      deliveredBytes: image.sizeBytes,
      contents: { '': image.contents },
      async run(url, options) {
        const { totalMs, firstByteMs, layerFirstByteMs } = await pullImage(url, image, options);
        return { seconds: totalMs / 1000, firstByteMs, layerFirstByteMs };
      },
      async beside() {
        direct.push((await pullImage(bench.upstream.url, image, { hashed: false })).totalMs / 1000);
        hash.push(await sha256Seconds(image.layers[0]?.file ?? ''));
      },
    });
    const longer = direct.map((seconds, round) => Math.max(seconds, hash[round] ?? 0));
    const hashPerGigabyte = hash.map((seconds) => (seconds * 1e9) / image.sizeBytes);
    return [
      ...standings(outcome, metrics(sizeBytes)),
      { name: 'the same from the upstream itself', unit: 's', values: direct },
      { name: 'one SHA-256 pass', unit: 's', values: hash },
      ...targets(outcome, { longer, hashPerGigabyte }),
      ...ratiosOf(outcome, { key: 'seconds', name: 'pull' }),
    ];
  },
};

function targets(
  outcome: Parameters<typeof valuesOf>[0],
  { longer, hashPerGigabyte }: Readonly<Record<'longer' | 'hashPerGigabyte', readonly number[]>>,
): readonly Figure[] {
  return [
    {
      name: `${OURS} ÷ the longer of the two`,
      unit: '×',
      values: ratios(valuesOf(outcome, OURS, 'seconds'), longer),
      target: { is: 'at most', value: 1.1 },
    },
    {
      name: `${OURS} ÷ one SHA-256 pass, CPU`,
      unit: '×',
      values: ratios(valuesOf(outcome, OURS, 'cpuPerGigabyte'), hashPerGigabyte),
      target: { is: 'at most', value: 1.3 },
    },
    ...ratiosOf(
      outcome,
      { key: 'cpuPerGigabyte', name: 'CPU' },
      { 'docker-registry': { is: 'at most', value: 1 } },
    ),
    {
      name: `${OURS}: first byte of the layer, from its own request`,
      unit: 'ms',
      values: valuesOf(outcome, OURS, 'layerFirstByteMs'),
      target: { is: 'at most', value: 10 },
    },
  ];
}
