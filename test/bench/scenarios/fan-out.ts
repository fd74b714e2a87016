import { download } from '../download.ts';
import { type Figure, ratios } from '../figure.ts';
import { MIB, type Scenario, type Workbench } from '../workbench.ts';

const CLIENTS = [1, 8, 32] as const;
const SIZE_BYTES = 256 * MIB;

type Measured = Readonly<Record<'share' | 'firstByteMs' | 'directMs', number[]>>;

/** One transfer, however many clients ask at once, and none of them waits for another. */
export const fanOut: Scenario = {
  name: 'fan-out',
  says: '1, 8 and 32 clients at once for one cold 256 MiB blob (own client, all in one process)',
  async run(bench) {
    const entrepot = await bench.startEntrepot();
    const measured = new Map<number, Measured>(
      CLIENTS.map((count) => [count, { share: [], firstByteMs: [], directMs: [] }]),
    );
    for (let round = 0; round < bench.rounds; round += 1) {
      for (const [count, series] of measured) await measure(bench, entrepot.url, { count, series });
    }
    return [...measured].flatMap(([count, series]) => figures(count, series, measured.get(1) ?? series));
  },
};

async function measure(
  bench: Workbench,
  url: string,
  { count, series }: { readonly count: number; readonly series: Measured },
): Promise<void> {
  const blob = await bench.upstream.addBlob(SIZE_BYTES);
  await bench.settle();
  series.firstByteMs.push(await slowestFirstByte(url + blob.path, count));
  const { bodyBytes } = await bench.upstream.transfers(blob, 1);
  series.share.push(bodyBytes / SIZE_BYTES);
  series.directMs.push(await slowestFirstByte(bench.upstream.url + blob.path, count));
  await bench.upstream.remove(blob);
}

async function slowestFirstByte(url: string, count: number): Promise<number> {
  const downloads = await Promise.all(Array.from({ length: count }, async () => download(url)));
  return Math.max(...downloads.map(({ firstByteMs }) => firstByteMs));
}

function figures(count: number, series: Measured, single: Measured): readonly Figure[] {
  const who = count === 1 ? '1 client' : `${count} clients`;
  return [
    {
      name: `${who}: upstream body bytes ÷ blob size`,
      unit: '',
      values: series.share,
      target: { is: 'exactly', value: 1 },
    },
    { name: `${who}: slowest first byte`, unit: 'ms', values: series.firstByteMs },
    { name: `${who}: the same, asking nginx itself`, unit: 'ms', values: series.directMs },
    ...(count === 1
      ? []
      : [
          {
            name: `${who}: slowest first byte ÷ single client's`,
            unit: '×',
            values: ratios(series.firstByteMs, single.firstByteMs),
            target: { is: 'at most', value: 1.5 } as const,
          },
        ]),
  ];
}
