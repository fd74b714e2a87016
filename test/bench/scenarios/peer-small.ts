import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { WarmServers } from '../contest.ts';
import type { Figure } from '../figure.ts';
import { GIB } from '../machine-size.ts';
import { fetchContent, pullImage } from '../pull.ts';
import { ratiosOf, standings } from '../standings.ts';
import type { Scenario, Workbench } from '../workbench.ts';
import { runWrk } from '../wrk.ts';

const CONNECTIONS = 16;
/** As many that all are asked for many times a second, and so many that none is. */
const FEW = 16;
const MANY = 2500;
const BLOB_BYTES = 4096;
const SECONDS = 3;
const QUICK_SECONDS = 1;

/** Cached small blobs: configs, signatures, the layers of tiny images. */
export const peerSmall: Scenario = {
  name: 'peer-small',
  says: `${FEW} cached blobs of 4 KiB in turn, then ${MANY} (not with --quick), ${CONNECTIONS} connections (wrk, one thread)`,
  needs: () => ({ treeBytes: GIB }),
  async run(bench) {
    const figures: Figure[] = [];
    for (const count of bench.quick ? [FEW] : [FEW, MANY]) figures.push(...(await blobsInTurn(bench, count)));
    return figures;
  },
};

async function blobsInTurn(bench: Workbench, count: number): Promise<readonly Figure[]> {
  const wrk = await bench.program('wrk');
  const image = await bench.upstream.addImage(Array.from({ length: count }, () => BLOB_BYTES));
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
  await bench.upstream.removeImage(image);
  const rate = { key: 'requestsPerSecond', name: `${count} blobs`, unit: 'requests/s' };
  return [
    ...standings(outcome, [
      { ...rate, row: `warm blobs of 4 KiB, ${count} in turn` },
      { key: 'p99Ms', name: `p99, ${count} blobs`, unit: 'ms' },
      { key: 'cpuPerThousand', name: `CPU, ${count} blobs`, unit: 's/1000' },
    ]),
    ...ratiosOf(outcome, rate, {
      'docker-registry': { is: 'at least', value: 50 },
      nginx: { is: 'at least', value: 0.5 },
    }),
  ];
}

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
