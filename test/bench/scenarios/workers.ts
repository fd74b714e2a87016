import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { serverCertificate } from '../../upstream/certificates.ts';
import { coldContest, OURS, type Outcome, WarmServers } from '../contest.ts';
import { curlSeconds } from '../curl.ts';
import { startEntrepot } from '../entrepot-process.ts';
import { type Figure, ratios } from '../figure.ts';
import { GIB } from '../machine-size.ts';
import { MANIFEST_TYPE, type UpstreamImage } from '../nginx-upstream.ts';
import type { Contestant } from '../peers/peer.ts';
import { fetchContent, pullImage } from '../pull.ts';
import { type Metric, standings, valuesOf } from '../standings.ts';
import { MIB, type Scenario, type Workbench } from '../workbench.ts';
import { runWrk } from '../wrk.ts';

const SEVERAL = 2;
const THEIRS = `${SEVERAL} workers`;
const BLOB_BYTES = 512 * MIB;
const QUICK_BYTES = 128 * MIB;
const CROWD = 8;
const CONNECTIONS = 16;
const SECONDS = 3;
const QUICK_SECONDS = 1;

/** Of each server that runs, the listener that speaks TLS, by the other. */
const secureUrls = new Map<string, string>();

function entrepotWith(workers: number, name: string): Contestant {
  return {
    found: { file: process.execPath, version: `Node ${process.version}` },
    peer: {
      name,
      says: `workers: ${workers}`,
      isOurs: true,
      limits: {},
      find: async () => Promise.resolve({ file: process.execPath, version: '' }),
      start: async ({ dir, upstreamUrl }) => {
        const tls = { cert: join(dir, 'tls.pem'), key: join(dir, 'tls-key.pem') };
        await mkdir(dir, { recursive: true });
        await writeFile(tls.cert, serverCertificate.cert);
        await writeFile(tls.key, serverCertificate.key);
        const started = await startEntrepot({ dir, upstreamUrl, workers, tls });
        secureUrls.set(started.url, started.secureUrl);
        return { ...started, name };
      },
    },
  };
}

const CONTESTANTS = [entrepotWith(1, OURS), entrepotWith(SEVERAL, THEIRS)];

/** What several processes that speak with clients bring, and cost, beside one that does everything. */
export const workers: Scenario = {
  name: 'workers',
  says: `one process (${OURS}, workers: 1) and one with ${SEVERAL} workers: a warm blob of 512 MiB (--quick: 128) to 1 and ${CROWD} clients, the same over TLS (curl), warm manifests (wrk, ${CONNECTIONS} connections)`,
  needs: () => ({ cores: 2, diskBytes: 5 * GIB, treeBytes: GIB }),
  contestants: CONTESTANTS,
  async run(bench) {
    const curl = await bench.program('curl');
    const wrk = await bench.program('wrk');
    const image = await bench.upstream.addImage([bench.quick ? QUICK_BYTES : BLOB_BYTES]);
    const figures: Figure[] = [];
    const servers = await WarmServers.open(
      bench,
      async (url, options) => void (await pullImage(url, image, options)),
    );
    for (const clients of [1, CROWD]) {
      figures.push(...blobFigures(await plainBlobs(servers, image, clients), `warm, ${count(clients)}`));
      const secure = await secureBlobs(servers, image, { clients, curl });
      figures.push(...blobFigures(secure, `warm over TLS, ${count(clients)}`));
    }
    for (const [by, path] of [
      ['by digest', image.manifest.path],
      ['by tag', image.tagPath],
    ] as const) {
      const outcome = await servers.measure({
        async run(url, { hashed }) {
          if (hashed) await fetchContent(url + path, image.manifest, { hashed });
          return runWrk(wrk, url + path, {
            connections: CONNECTIONS,
            seconds: bench.quick || hashed ? QUICK_SECONDS : SECONDS,
            headers: { accept: MANIFEST_TYPE },
            bodyBytes: image.manifest.sizeBytes,
          });
        },
      });
      const name = `manifest ${by}`;
      figures.push(
        ...compared(outcome, { key: 'requestsPerSecond', name, unit: 'requests/s' }),
        ...compared(outcome, { key: 'cpuPerThousand', name, unit: 'CPU s/1000' }),
      );
    }
    await servers.close();
    await bench.upstream.removeImage(image);
    return figures;
  },
};

/** What each byte costs that goes through two processes on its way from an upstream to a client. */
export const workersCold: Scenario = {
  name: 'workers-cold',
  says: `one process (${OURS}, workers: 1) and one with ${SEVERAL} workers: a cold blob of 512 MiB (--quick: 128) to 1 and ${CROWD} clients`,
  needs: () => ({ cores: 2, diskBytes: 5 * GIB, treeBytes: GIB }),
  contestants: CONTESTANTS,
  async run(bench) {
    const figures: Figure[] = [];
    for (const clients of [1, CROWD]) figures.push(...(await coldBlobs(bench, clients)));
    return figures;
  },
};

async function plainBlobs(servers: WarmServers, image: UpstreamImage, clients: number): Promise<Outcome> {
  const blob = layerOf(image);
  const times = clients === 1 ? 4 : 1;
  return servers.measure({
    deliveredBytes: clients * times * blob.sizeBytes,
    run: async (url, options) =>
      rated(clients * times * blob.sizeBytes, async () =>
        atOnce(clients, async () => {
          for (let time = 0; time < times; time += 1) await fetchContent(url + blob.path, blob, options);
        }),
      ),
  });
}

async function secureBlobs(
  servers: WarmServers,
  image: UpstreamImage,
  { clients, curl }: { readonly clients: number; readonly curl: string },
): Promise<Outcome> {
  const blob = layerOf(image);
  return servers.measure({
    deliveredBytes: clients * blob.sizeBytes,
    run: async (url, options) =>
      rated(clients * blob.sizeBytes, async () =>
        atOnce(
          clients,
          async () =>
            void (await curlSeconds(curl, `${secureUrls.get(url) ?? ''}${blob.path}`, blob, options)),
        ),
      ),
  });
}

async function coldBlobs(bench: Workbench, clients: number): Promise<readonly Figure[]> {
  const image = await bench.upstream.addImage([bench.quick ? QUICK_BYTES : BLOB_BYTES]);
  const blob = layerOf(image);
  const outcome = await coldContest(bench, {
    deliveredBytes: clients * blob.sizeBytes,
    contents: { '': [blob] },
    run: async (url, options) =>
      rated(clients * blob.sizeBytes, async () =>
        atOnce(clients, async () => void (await fetchContent(url + blob.path, blob, options))),
      ),
  });
  await bench.upstream.removeImage(image);
  const name = `cold, ${count(clients)}`;
  const shares = [...outcome.samples.keys()].map((of) => ({
    of,
    name: `upstream bytes, ${name}`,
    unit: '×',
    values: valuesOf(outcome, of, 'upstreamShare'),
  }));
  return [...blobFigures(outcome, name), ...shares];
}

function blobFigures(outcome: Outcome, name: string): readonly Figure[] {
  return [
    ...compared(outcome, { key: 'megabytesPerSecond', name, unit: 'MB/s' }),
    ...compared(outcome, { key: 'cpuPerGigabyte', name, unit: 'CPU s/GB' }),
  ];
}

/** Of both, and how many times as much it is with several. */
function compared(outcome: Outcome, metric: Metric): readonly Figure[] {
  const { key, name, unit } = metric;
  const values = ratios(valuesOf(outcome, THEIRS, key), valuesOf(outcome, OURS, key));
  return [
    ...standings(outcome, [metric]),
    { name: `${THEIRS} ÷ one process, ${name}, ${unit}`, unit: '×', values },
  ];
}

async function rated(bytes: number, work: () => Promise<void>): Promise<{ megabytesPerSecond: number }> {
  const began = performance.now();
  await work();
  return { megabytesPerSecond: bytes / 1000 / (performance.now() - began) };
}

async function atOnce(clients: number, client: () => Promise<void>): Promise<void> {
  await Promise.all(Array.from({ length: clients }, client));
}

function layerOf({ layers: [blob] }: UpstreamImage): UpstreamImage['layers'][number] {
  if (!blob) throw new Error('an image without its layer');
  return blob;
}

function count(clients: number): string {
  return clients === 1 ? '1 client' : `${clients} clients`;
}
