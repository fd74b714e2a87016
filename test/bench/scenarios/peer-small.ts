import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { WarmServers } from '../contest.ts';
import { GIB } from '../machine-size.ts';
import { fetchContent, pullImage } from '../pull.ts';
import { ratiosOf, standings } from '../standings.ts';
import type { Scenario } from '../workbench.ts';
import { runWrk } from '../wrk.ts';

const CONNECTIONS = 16;
const BLOBS = 16;
const BLOB_BYTES = 4096;
const SECONDS = 3;
const QUICK_SECONDS = 1;

/** Cached small blobs: configs, signatures, the layers of tiny images. */
export const peerSmall: Scenario = {
  name: 'peer-small',
  says: `${BLOBS} cached blobs of 4 KiB in turn, ${CONNECTIONS} connections (wrk, one thread)`,
  needs: () => ({ treeBytes: GIB }),
  async run(bench) {
    const wrk = await bench.program('wrk');
    const image = await bench.upstream.addImage(Array.from({ length: BLOBS }, () => BLOB_BYTES));
    const script = join(await bench.newDir('wrk'), 'blobs.lua');
    await writeFile(script, inTurn(image.layers.map(({ path }) => path)));
    const servers = await WarmServers.open(bench, async (url, options) => {
      await pullImage(url, image, options);
    });
    const outcome = await servers.measure({
      async run(url, { hashed }) {
        if (hashed) for (const layer of image.layers) await fetchContent(url + layer.path, layer, { hashed });
        return runWrk(wrk, url, {
          connections: CONNECTIONS,
          seconds: bench.quick || hashed ? QUICK_SECONDS : SECONDS,
          script,
          bodyBytes: BLOB_BYTES,
        });
      },
    });
    await servers.close();
    const rate = { key: 'requestsPerSecond', name: 'blobs', unit: 'requests/s' };
    return [
      ...standings(outcome, [
        { ...rate, row: 'warm blobs of 4 KiB' },
        { key: 'p99Ms', name: 'p99', unit: 'ms' },
        { key: 'cpuPerThousand', name: 'CPU', unit: 's/1000' },
      ]),
      ...ratiosOf(outcome, rate, {
        'docker-registry': { is: 'at least', value: 50 },
        nginx: { is: 'at least', value: 0.5 },
      }),
    ];
  },
};

/** For wrk: the requests are made once, and handed out in turn. */
function inTurn(paths: readonly string[]): string {
  return `local paths = { ${paths.map((path) => JSON.stringify(path)).join(', ')} }
local requests, at = {}, 0
function init()
  for number, path in ipairs(paths) do requests[number] = wrk.format('GET', path) end
end
function request()
  at = at % #requests + 1
  return requests[at]
end
`;
}
