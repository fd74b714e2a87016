import pLimit from 'p-limit';
import { get, type GetResult } from '../support/http-get.ts';
import type { DemoImage } from './upstream.ts';

/** What one client got. */
export interface Pulled {
  readonly bytes: number;
  /** Of `bytes`, config and layers. */
  readonly blobBytes: number;
  /** The longest time from a layer's request to the first byte of it. */
  readonly firstByteMs: number;
  /** `X-Cache` of every answer. */
  readonly outcomes: readonly string[];
  /** What is not as it should be. Empty when every digest is right. */
  readonly problems: readonly string[];
}

interface Descriptor {
  readonly digest: string;
  readonly size: number;
  readonly mediaType: string;
}

interface Index {
  readonly manifests: readonly (Descriptor & {
    readonly platform: { readonly os: string; readonly architecture: string };
  })[];
}

interface Manifest {
  readonly config: Descriptor;
  readonly layers: readonly Descriptor[];
}

/** As container engines do. */
const PARALLEL_LAYERS = 3;
const LIMIT_MS = 20_000;
const ACCEPT = [
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
  'application/vnd.docker.distribution.manifest.v2+json',
];

/** A pull as a real client does it: index by tag, one platform's manifest, config, three layers at a time. */
export async function pull(registryUrl: string, image: DemoImage): Promise<Pulled> {
  const client = new Client(`${registryUrl}/v2/${image.repository}`);
  const root = await client.fetch(`manifests/${image.tag}`, image.digest);
  const index = JSON.parse(root.body.toString()) as Index;
  const wanted = index.manifests.find(({ platform }) => platform.architecture === 'amd64');
  if (!wanted) throw new Error('the index has no linux/amd64');
  const { body } = await client.fetch(`manifests/${wanted.digest}`, wanted.digest);
  const manifest = JSON.parse(body.toString()) as Manifest;
  const config = await client.fetch(`blobs/${manifest.config.digest}`, manifest.config.digest);
  const limit = pLimit(PARALLEL_LAYERS);
  const layers = await Promise.all(
    manifest.layers.map(async ({ digest }) => limit(async () => client.fetch(`blobs/${digest}`, digest))),
  );
  return {
    bytes: client.bytes,
    blobBytes: [config, ...layers].reduce((sum, { length }) => sum + length, 0),
    firstByteMs: Math.max(...layers.map(({ firstByteMs = Infinity }) => firstByteMs)),
    outcomes: client.outcomes,
    problems: client.problems,
  };
}

class Client {
  bytes = 0;
  readonly outcomes: string[] = [];
  readonly problems: string[] = [];
  readonly #base: string;

  constructor(base: string) {
    this.#base = base;
  }

  async fetch(path: string, digest: string): Promise<GetResult> {
    const response = await get(`${this.#base}/${path}`, {
      headers: { accept: ACCEPT },
      digestOnly: path.startsWith('blobs/'),
      signal: AbortSignal.timeout(LIMIT_MS),
    });
    this.bytes += response.length;
    this.outcomes.push(String(response.headers['x-cache']));
    if (response.status !== 200) throw new Error(`${path}: status ${response.status}`);
    if (!response.complete) this.problems.push(`${path}: the body was cut short`);
    if (response.digest !== digest) this.problems.push(`${path}: the body has the digest ${response.digest}`);
    if (response.headers['docker-content-digest'] !== digest)
      this.problems.push(`${path}: Docker-Content-Digest is wrong`);
    return response;
  }
}
