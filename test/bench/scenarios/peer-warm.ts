import { WarmServers } from '../contest.ts';
import type { Figure, Target } from '../figure.ts';
import { GIB } from '../machine-size.ts';
import { fetchContent, pullImage } from '../pull.ts';
import { type Metric, ratiosOf, standings } from '../standings.ts';
import { MIB, type Scenario } from '../workbench.ts';

const SIZE_BYTES = 512 * MIB;
const QUICK_BYTES = 128 * MIB;
/** Clients at once, and how often each of them downloads it: CPU time is told in steps of 10 ms. */
const CLIENTS = [
  { count: 1, times: 4 },
  { count: 8, times: 1 },
] as const;
const RATE_TARGETS: Readonly<Record<string, Target>> = {
  'docker-registry': { is: 'at least', value: 1.2 },
  zot: { is: 'at least', value: 1 },
  nginx: { is: 'at least', value: 0.6 },
};
const CPU_TARGETS: Readonly<Record<string, Target>> = { 'docker-registry': { is: 'at most', value: 0.8 } };

/** A cached blob. */
export const peerWarm: Scenario = {
  name: 'peer-warm',
  says: 'a cached blob of 512 MiB (--quick: 128) to one client, four times in a row, and to eight at once',
  needs: () => ({ diskBytes: 5 * GIB, treeBytes: GIB }),
  async run(bench) {
    const image = await bench.upstream.addImage([bench.quick ? QUICK_BYTES : SIZE_BYTES]);
    const [blob] = image.layers;
    if (!blob) throw new Error('an image without its layer');
    const servers = await WarmServers.open(bench, async (url, options) => {
      await pullImage(url, image, options);
    });
    const figures: Figure[] = [];
    for (const { count, times } of CLIENTS) {
      const deliveredBytes = count * times * blob.sizeBytes;
      const outcome = await servers.measure({
        deliveredBytes,
        async run(url, options) {
          const began = performance.now();
          const client = async () => {
            for (let time = 0; time < times; time += 1) await fetchContent(url + blob.path, blob, options);
          };
          await Promise.all(Array.from({ length: count }, client));
          return { megabytesPerSecond: deliveredBytes / 1000 / (performance.now() - began) };
        },
      });
      const who = count === 1 ? '1 client' : `${count} clients`;
      const row = `a warm blob of ${blob.sizeBytes / MIB} MiB, ${who}`;
      const rate: Metric = { key: 'megabytesPerSecond', name: who, unit: 'MB/s', row };
      const cpu: Metric = { key: 'cpuPerGigabyte', name: `${who}: CPU`, unit: 's/GB', row: `${row}: CPU` };
      figures.push(
        ...standings(outcome, [rate, cpu]),
        ...ratiosOf(outcome, { ...rate, name: `${who}, MB/s` }, RATE_TARGETS),
        ...ratiosOf(outcome, cpu, CPU_TARGETS),
      );
    }
    await servers.close();
    return figures;
  },
};
