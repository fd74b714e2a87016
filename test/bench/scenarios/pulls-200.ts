import { download } from '../download.ts';
import { type EntrepotProcess, startEntrepot } from '../entrepot-process.ts';
import type { Figure } from '../figure.ts';
import { GIB } from '../machine-size.ts';
import type { UpstreamContent } from '../nginx-upstream.ts';
import { MIB, type Scenario, type Workbench } from '../workbench.ts';

const CLIENTS = 200;
const BLOBS = 8;
const SIZE_BYTES = GIB;
const QUICK_SIZE_BYTES = 64 * MIB;
/** For 200 GiB over loopback. */
const LIMIT_MS = 20 * 60_000;

interface Measured {
  readonly peakMib: number;
  readonly seconds: number;
}

/** Memory does not grow with clients, nor with the size of what they pull. */
export const pulls200: Scenario = {
  name: 'pulls-200',
  says: '200 pulls of 1 GiB at once (--quick: of 64 MiB): all of one cold blob, all of it again, and of eight cold ones by 25 each (own client, all in one process, which compares every byte); once',
  needs: ({ quick }) => ({
    cores: 2,
    memoryBytes: 2 * GIB,
    treeBytes: (BLOBS + 1) * (quick ? QUICK_SIZE_BYTES : SIZE_BYTES),
    diskBytes: (BLOBS + 2) * (quick ? QUICK_SIZE_BYTES : SIZE_BYTES),
    openFiles: 4 * CLIENTS,
  }),
  async run(bench) {
    const sizeBytes = bench.quick ? QUICK_SIZE_BYTES : SIZE_BYTES;
    const blobs: UpstreamContent[] = [];
    while (blobs.length < BLOBS) blobs.push(await bench.upstream.addBlob(sizeBytes));
    const one = blobs.slice(0, 1);
    const first = await fresh(bench);
    const cold = await pulled(first, one);
    const { bodyBytes } = await bench.upstream.transfers(one[0]);
    await bench.retire(first);

    const second = await fresh(bench);
    for (const { path, source } of one) await download(second.url + path, { expected: source });
    const warm = await pulled(second, one);
    await bench.retire(second);

    const third = await fresh(bench);
    const several = await pulled(third, blobs);
    await bench.retire(third);
    return [
      ...figures('one cold blob', cold),
      { name: 'one cold blob: upstream body bytes ÷ its size', unit: '×', values: [bodyBytes / sizeBytes] },
      ...figures('one warm blob', warm),
      ...figures('eight cold blobs', several),
    ];
  },
};

async function fresh(bench: Workbench): Promise<EntrepotProcess> {
  await bench.settle();
  const options = { dir: await bench.newDir('entrepot'), upstreamUrl: bench.upstream.url };
  return bench.adopt(await startEntrepot(options));
}

async function pulled(entrepot: EntrepotProcess, blobs: readonly UpstreamContent[]): Promise<Measured> {
  const startedMs = performance.now();
  await Promise.all(
    Array.from({ length: CLIENTS }, async (_, client) => {
      const blob = blobs[client % blobs.length];
      if (blob === undefined) throw new Error('there is no blob');
      await download(entrepot.url + blob.path, { expected: blob.source, limitMs: LIMIT_MS });
    }),
  );
  const seconds = (performance.now() - startedMs) / 1000;
  return { seconds, peakMib: (await entrepot.process.peakRssBytes()) / MIB };
}

function figures(what: string, { peakMib, seconds }: Measured): readonly Figure[] {
  const target = { is: 'at most', value: 250 } as const;
  return [
    { name: `${what}: peak resident set`, unit: 'MiB', values: [peakMib], target },
    { name: `${what}: all of them took`, unit: 's', values: [seconds] },
  ];
}
