import { WarmServers } from '../contest.ts';
import type { Figure, Target } from '../figure.ts';
import { GIB } from '../machine-size.ts';
import { MANIFEST_TYPE } from '../nginx-upstream.ts';
import { fetchContent, pullImage } from '../pull.ts';
import { ratiosOf, standings } from '../standings.ts';
import { MIB, type Scenario } from '../workbench.ts';
import { runWrk } from '../wrk.ts';

const CONNECTIONS = 16;
const SECONDS = 3;
const QUICK_SECONDS = 1;
const TARGETS: Readonly<Record<string, Target>> = {
  'docker-registry': { is: 'at least', value: 25 },
  nginx: { is: 'at least', value: 0.5 },
};

/** Cached manifests, as clients that look whether something changed ask for them. */
export const peerManifests: Scenario = {
  name: 'peer-manifests',
  says: `a cached manifest by digest and by tag (within its TTL), ${CONNECTIONS} connections (wrk, one thread), kept and a new one for each request`,
  needs: () => ({ treeBytes: GIB }),
  async run(bench) {
    const wrk = await bench.program('wrk');
    const image = await bench.upstream.addImage(Array.from({ length: 10 }, () => MIB / 4));
    const servers = await WarmServers.open(bench, async (url, options) => {
      await pullImage(url, image, options);
      await fetchContent(url + image.manifest.path, image.manifest, options);
    });
    const figures: Figure[] = [];
    for (const [by, path] of [
      ['by digest', image.manifest.path],
      ['by tag', image.tagPath],
    ] as const) {
      for (const [how, headers] of [
        ['', {}],
        [', new connections', { connection: 'close' }],
      ] as const) {
        const name = by + how;
        const outcome = await servers.measure({
          async run(url, { hashed }) {
            if (hashed) await fetchContent(url + path, image.manifest, { hashed });
            return runWrk(wrk, url + path, {
              connections: CONNECTIONS,
              seconds: bench.quick || hashed ? QUICK_SECONDS : SECONDS,
              headers: { accept: MANIFEST_TYPE, ...headers },
              bodyBytes: image.manifest.sizeBytes,
            });
          },
        });
        const rate = { key: 'requestsPerSecond', name, unit: 'requests/s' };
        figures.push(
          ...standings(outcome, [{ ...rate, row: `a warm manifest ${name}` }]),
          ...standings(outcome, [{ key: 'cpuPerThousand', name, unit: 'CPU s/1000' }]),
          ...ratiosOf(outcome, rate, TARGETS),
        );
      }
    }
    await servers.close();
    return figures;
  },
};
