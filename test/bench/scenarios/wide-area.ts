import { download } from '../download.ts';
import { type Figure, ratios } from '../figure.ts';
import { startLineRelay } from '../line-relay.ts';
import { canDelay, inDelayedNetwork } from '../network-namespace.ts';
import type { UpstreamContent } from '../nginx-upstream.ts';
import { GIB } from '../machine-size.ts';
import { MIB, type Scenario, type Workbench } from '../workbench.ts';

const SIZE_BYTES = 512 * MIB;
const LAYERS = 10;
const LAYER_BYTES = 50 * MIB;
const LAYERS_AT_ONCE = 3;
/** Each way. */
const DELAY_MS = 40;
/** As nginx holds a connection on its capped port. */
const BYTES_PER_SECOND = 20_000_000;
const NEEDS = { cores: 2, treeBytes: 2 * GIB, diskBytes: 3 * GIB };

/** An upstream far away: what several connections and a cache nearby are for. */
export const wideArea: Scenario = {
  name: 'wide-area',
  says: 'cold, 80 ms of round trip and 20 MB/s for each connection: one 512 MiB blob; ten of 50 MiB, 3 at a time (own client, which compares every byte), by an entrepot that does not know the line yet',
  needs: () => NEEDS,
  async run(bench) {
    if (await canDelay()) {
      bench.note('the line: tc netem in a network namespace, limit_rate of nginx');
      return inDelayedNetwork(bench, { delayMs: DELAY_MS, needs: NEEDS });
    }
    bench.note(
      "the line: this kernel has no netem, or namespaces are not allowed; a relay process delays by 40 ms each way, caps each connection and opens its window as TCP's slow start does; nothing is lost on it",
    );
    const relay = bench.adopt(
      await startLineRelay(await bench.newDir('relay'), bench.upstream.url, {
        delayMs: DELAY_MS,
        bytesPerSecond: BYTES_PER_SECOND,
      }),
    );
    return measureWideArea(bench, relay.url);
  },
};

/** @param lineUrl the upstream's, at the other end of the line */
export async function measureWideArea(bench: Workbench, lineUrl: string): Promise<readonly Figure[]> {
  const series = { direct: [], ours: [], sent: [], first: [], directImage: [], oursImage: [] };
  const measured: Readonly<Record<keyof typeof series, number[]>> = series;
  for (let round = 0; round < bench.rounds; round += 1) {
    const entrepot = await bench.startEntrepot(lineUrl);
    const [blob] = await addBlobs(bench, 1, SIZE_BYTES);
    const layers = await addBlobs(bench, LAYERS, LAYER_BYTES);
    await bench.settle();
    const ours = await pull(entrepot.url, blob);
    measured.sent.push((await bench.upstream.transfers(blob)).bodyBytes / SIZE_BYTES);
    const direct = await pull(lineUrl, blob);
    measured.ours.push(ours.totalMs / 1000);
    measured.direct.push(direct.totalMs / 1000);
    measured.first.push(ours.firstByteMs - direct.firstByteMs);
    measured.oursImage.push(await pullAll(entrepot.url, layers));
    measured.directImage.push(await pullAll(lineUrl, layers));
    for (const content of [blob, ...layers]) await bench.upstream.remove(content);
    await bench.retire(entrepot);
  }
  return [
    { name: 'direct download', unit: 's', values: measured.direct },
    { name: 'entrepot, cold', unit: 's', values: measured.ours },
    {
      name: 'direct ÷ entrepot',
      unit: '×',
      values: ratios(measured.direct, measured.ours),
      target: { is: 'at least', value: 3 },
    },
    { name: "first byte after the direct download's", unit: 'ms', values: measured.first },
    { name: 'upstream body bytes ÷ blob size', unit: '×', values: measured.sent },
    { name: 'ten layers, direct', unit: 's', values: measured.directImage },
    { name: 'ten layers, entrepot', unit: 's', values: measured.oursImage },
    {
      name: 'ten layers, direct ÷ entrepot',
      unit: '×',
      values: ratios(measured.directImage, measured.oursImage),
    },
  ];
}

async function addBlobs(
  bench: Workbench,
  count: number,
  sizeBytes: number,
): Promise<readonly [UpstreamContent, ...UpstreamContent[]]> {
  const first = await bench.upstream.addBlob(sizeBytes);
  const others: UpstreamContent[] = [];
  while (others.length + 1 < count) others.push(await bench.upstream.addBlob(sizeBytes));
  return [first, ...others];
}

async function pull(url: string, { path, source }: UpstreamContent): ReturnType<typeof download> {
  return download(url + path, { expected: source });
}

/** In seconds, from before the first to the end of the last. */
async function pullAll(url: string, layers: readonly UpstreamContent[]): Promise<number> {
  const startedMs = performance.now();
  const waiting = layers.values();
  const worker = async (): Promise<void> => {
    for (const layer of waiting) await pull(url, layer);
  };
  await Promise.all(Array.from({ length: LAYERS_AT_ONCE }, worker));
  return (performance.now() - startedMs) / 1000;
}
