import { coldContest, OURS, type RunOptions, type Sample, WarmServers } from '../contest.ts';
import { ratios } from '../figure.ts';
import { GIB } from '../machine-size.ts';
import { pullImage } from '../pull.ts';
import { sha256SecondsOnAllCores } from '../sha256-pass.ts';
import { type Metric, ratiosOf, standings, valuesOf } from '../standings.ts';
import { MIB, type Scenario } from '../workbench.ts';

/** In MiB, 512 together: large ones below, small ones on top, as images have them. */
const LAYERS = [160, 96, 64, 64, 48, 32, 24, 16, 6, 2];
const QUICK_SHARE = 1 / 4;
const PARALLEL = 3;
const PULL: Metric = { key: 'seconds', name: 'pull', unit: 's' };
/** A whole image, as a client with its usual three downloads takes it. */
export const peerImage: Scenario = {
  name: 'peer-image',
  says: `one client pulls an image of ${LAYERS.length} layers, 512 MiB together (--quick: 128), ${PARALLEL} at a time, cold and warm; beside it SHA-256 passes over its layers, spread over the cores`,
  needs: () => ({ diskBytes: 5 * GIB, treeBytes: GIB }),
  async run(bench) {
    const share = bench.quick ? QUICK_SHARE : 1;
    const image = await bench.upstream.addImage(LAYERS.map((size) => size * share * MIB));
    const hash: number[] = [];
    const work = {
      deliveredBytes: image.sizeBytes,
      async run(url: string, { hashed }: RunOptions): Promise<Sample> {
        const { totalMs } = await pullImage(url, image, { hashed, parallel: PARALLEL });
        return { seconds: totalMs / 1000 };
      },
    };
    const cold = await coldContest(bench, {
      ...work,
      contents: { '': image.contents },
      async beside() {
        hash.push(await sha256SecondsOnAllCores(image.layers.map(({ file }) => file)));
      },
    });
    const servers = await WarmServers.open(bench, async (url, options) => {
      await pullImage(url, image, options);
    });
    const warm = await servers.measure(work);
    await servers.close();
    const row = `image of ${Math.round(image.sizeBytes / MIB)} MiB, ten layers`;
    return [
      ...standings(cold, [
        { ...PULL, name: 'cold pull', row: `a cold ${row}` },
        { key: 'cpuPerGigabyte', name: 'cold, CPU', unit: 's/GB' },
        { key: 'upstreamShare', name: 'upstream bytes', unit: '×' },
      ]),
      ...standings(warm, [
        { ...PULL, name: 'warm pull', row: `a warm ${row}` },
        { key: 'cpuPerGigabyte', name: 'warm, CPU', unit: 's/GB' },
      ]),
      { name: 'SHA-256 passes, spread over the cores', unit: 's', values: hash },
      {
        name: `${OURS} ÷ these passes, cold pull`,
        unit: '×',
        values: ratios(valuesOf(cold, OURS, PULL.key), hash),
        target: { is: 'at most', value: 1.2 },
      },
      ...ratiosOf(cold, { ...PULL, name: 'cold pull' }, { 'docker-registry': { is: 'at most', value: 1 } }),
      ...ratiosOf(warm, { ...PULL, name: 'warm pull' }, { nginx: { is: 'at most', value: 1.1 } }),
    ];
  },
};
