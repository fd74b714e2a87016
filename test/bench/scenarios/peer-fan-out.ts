import { coldContest, OURS, type Outcome, type RunOptions, type Sample } from '../contest.ts';
import { type Figure, ratios } from '../figure.ts';
import { GIB } from '../machine-size.ts';
import type { UpstreamContent, UpstreamImage } from '../nginx-upstream.ts';
import { fetchContent, pullImage } from '../pull.ts';
import { ratiosOf, standings, valuesOf } from '../standings.ts';
import { MIB, type Scenario, type Workbench } from '../workbench.ts';

/** Clients at once, and what each of them takes: together not more than some seconds of one core. */
const CROWDS = [
  { count: 8, layerBytes: 256 * MIB },
  { count: 32, layerBytes: 128 * MIB },
  { count: 200, layerBytes: 32 * MIB },
] as const;
const QUICK_SHARE = 1 / 8;

interface Crowd {
  readonly count: number;
  readonly layerBytes: number;
  /** As it ends the keys of samples. */
  readonly key: string;
}

/** One transfer, however many clients ask at once, and none of them waits for another. */
export const peerFanOut: Scenario = {
  name: 'peer-fan-out',
  says: '8, 32 and 200 clients at once (own client, all in one process) pull one cold image with a layer of 256, 128 and 32 MiB (--quick: an eighth); then the same for one cold blob alone, beside one client alone, and beside the same clients when it is warm',
  needs: () => ({ cores: 2, diskBytes: 3 * GIB, treeBytes: 2 * GIB, openFiles: 1024 }),
  async run(bench) {
    const crowds = CROWDS.map(({ count, layerBytes }) => ({
      count,
      layerBytes: bench.quick ? layerBytes * QUICK_SHARE : layerBytes,
      key: `/${count}`,
    }));
    const pulls = await pullsByCrowds(bench, crowds);
    const blobs = await blobsByCrowds(bench, crowds);
    return [
      ...crowds.flatMap((crowd) => pullStandings(pulls, crowd)),
      ...crowds.flatMap((crowd) => blobStandings(blobs, crowd)),
      ...crowds.flatMap((crowd) => targets(blobs, crowd)),
      ...crowds.flatMap(({ count, key }) =>
        ratiosOf(pulls, { key: `seconds${key}`, name: `pulls of ${count}` }),
      ),
    ];
  },
};

/** Whole pulls, each client beginning with the tag. */
async function pullsByCrowds(bench: Workbench, crowds: readonly Crowd[]): Promise<Outcome> {
  const images = new Map<Crowd, UpstreamImage>();
  for (const crowd of crowds) images.set(crowd, await bench.upstream.addImage([crowd.layerBytes]));
  const outcome = await coldContest(bench, {
    deliveredBytes: crowds.reduce((sum, { count, layerBytes }) => sum + count * layerBytes, 0),
    contents: Object.fromEntries([...images].map(([{ key }, { contents }]) => [key, contents])),
    async run(url, options) {
      const sample: Record<string, number> = {};
      for (const [{ count, key }, image] of images) {
        const began = performance.now();
        const done = await atOnce(count, async () => (await pullImage(url, image, options)).firstByteMs);
        sample[`seconds${key}`] = (performance.now() - began) / 1000;
        sample[`slowestFirstByteMs${key}`] = Math.max(...done);
        await options.settled();
      }
      return sample;
    },
  });
  for (const image of images.values()) await bench.upstream.removeImage(image);
  return outcome;
}

/** The blob alone: cold for one client, cold for all of them, and warm for all of them. */
async function blobsByCrowds(bench: Workbench, crowds: readonly Crowd[]): Promise<Outcome> {
  const images = new Map<Crowd, readonly [UpstreamImage, UpstreamImage]>();
  for (const one of crowds) {
    const { layerBytes } = one;
    images.set(one, [
      await bench.upstream.addImage([layerBytes]),
      await bench.upstream.addImage([layerBytes]),
    ]);
  }
  const outcome = await coldContest(bench, {
    needs: 'a cold blob without its image',
    // Others for comparison alone, which is not worth a quick run's time.
    oursAlone: bench.quick,
    contents: Object.fromEntries([...images].map(([{ key }, [, shared]]) => [key, shared.layers])),
    async run(url, options) {
      const sample: Record<string, number> = {};
      for (const [one, [alone, shared]] of images) {
        const parts = { single: [alone, 1], cold: [shared, one.count], warm: [shared, one.count] } as const;
        for (const [part, [image, count]] of Object.entries(parts))
          Object.assign(
            sample,
            await blobByCrowd(url, image.layers[0], { ...options, count, key: part + one.key }),
          );
      }
      return sample;
    },
  });
  for (const pair of images.values()) for (const image of pair) await bench.upstream.removeImage(image);
  return outcome;
}

interface BlobOptions extends RunOptions {
  readonly count: number;
  readonly key: string;
}

async function blobByCrowd(
  url: string,
  blob: UpstreamContent | undefined,
  options: BlobOptions,
): Promise<Sample> {
  if (!blob) throw new Error('an image without its layer');
  const began = performance.now();
  const done = await atOnce(options.count, async () => fetchContent(url + blob.path, blob, options));
  const seconds = (performance.now() - began) / 1000;
  await options.settled();
  return { [`seconds ${options.key}`]: seconds, [`firstByteMs ${options.key}`]: Math.max(...done) };
}

async function atOnce(count: number, client: () => Promise<number>): Promise<readonly number[]> {
  return Promise.all(Array.from({ length: count }, client));
}

function pullStandings(pulls: Outcome, { count, key, layerBytes }: Crowd): readonly Figure[] {
  const row = `${count} clients at once, a cold image of ${layerBytes / MIB} MiB`;
  const metric = (metricKey: string, name: string, unit: string) => ({
    key: metricKey + key,
    name: `${count} pull: ${name}`,
    unit,
    row: `${row}: ${name}`,
  });
  return standings(pulls, [
    metric('seconds', 'all of them', 's'),
    metric('slowestFirstByteMs', 'slowest first byte', 'ms'),
    metric('upstreamShare', 'upstream bytes', '×'),
  ]);
}

function blobStandings(blobs: Outcome, { count, key }: Crowd): readonly Figure[] {
  return standings(blobs, [
    { key: `firstByteMs single${key}`, name: 'blob alone, 1 client: first byte', unit: 'ms' },
    { key: `firstByteMs cold${key}`, name: `${count} clients: slowest first byte`, unit: 'ms' },
    { key: `seconds cold${key}`, name: `${count} clients: all of them`, unit: 's' },
    { key: `seconds warm${key}`, name: 'the same, warm', unit: 's' },
  ]);
}

function targets(blobs: Outcome, { count, key }: Crowd): readonly Figure[] {
  const ours = (name: string) => valuesOf(blobs, OURS, name + key);
  const [single, warm] = [ours('seconds single'), ours('seconds warm')];
  const least = warm.map((seconds, round) => seconds + (single[round] ?? Number.NaN));
  return [
    {
      name: `${OURS}, ${count} clients: upstream bytes`,
      unit: '×',
      values: ours('upstreamShare'),
      target: { is: 'exactly', value: 1 },
    },
    {
      name: `${OURS}, ${count} clients: slowest first byte ÷ a single client's`,
      unit: '×',
      values: ratios(ours('firstByteMs cold'), ours('firstByteMs single')),
      target: { is: 'at most', value: 1.2 },
    },
    {
      name: `${OURS}, ${count} clients: all of them ÷ (the same, warm, and one fill)`,
      unit: '×',
      values: ratios(ours('seconds cold'), least),
      target: { is: 'at most', value: 1.1 },
    },
  ];
}
