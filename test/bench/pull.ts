import pLimit from 'p-limit';
import { download } from './download.ts';
import { MANIFEST_TYPE, type UpstreamContent, type UpstreamImage } from './nginx-upstream.ts';

/** A pull as clients do it: the manifest by its tag, then the config, then the layers, some at a time. */

export interface Pull {
  readonly totalMs: number;
  /** From the beginning of the pull to the first byte of its first layer. */
  readonly firstByteMs: number;
  /** The same, from the request for that layer. */
  readonly layerFirstByteMs: number;
}

export interface PullOptions {
  /** Whether every body is compared with its digest, not just its length. */
  readonly hashed: boolean;
  /** Layers at a time. Default 3, as Docker and containerd have it. */
  readonly parallel?: number;
}

/** @throws when a body is not what the upstream has */
export async function pullImage(baseUrl: string, image: UpstreamImage, options: PullOptions): Promise<Pull> {
  const startedMs = performance.now();
  await fetchContent(baseUrl + image.tagPath, image.manifest, options);
  await fetchContent(baseUrl + image.config.path, image.config, options);
  const limit = pLimit(options.parallel ?? 3);
  const layersMs = performance.now();
  const layers = await Promise.all(
    image.layers.map(async (layer) =>
      limit(async () => {
        const sinceMs = performance.now() - layersMs;
        return sinceMs + (await fetchContent(baseUrl + layer.path, layer, options));
      }),
    ),
  );
  const layerFirstByteMs = Math.min(...layers);
  return {
    totalMs: performance.now() - startedMs,
    firstByteMs: layersMs - startedMs + layerFirstByteMs,
    layerFirstByteMs,
  };
}

/** How long its first byte took, in milliseconds. @throws when it is not what the upstream has */
export async function fetchContent(
  url: string,
  { digest, sizeBytes }: Pick<UpstreamContent, 'digest' | 'sizeBytes'>,
  { hashed }: Pick<PullOptions, 'hashed'>,
): Promise<number> {
  const accept = url.includes('/manifests/') ? MANIFEST_TYPE : '*/*';
  const done = await download(url, { accept, hashed });
  if (done.bytes !== sizeBytes) throw new Error(`${url}: ${done.bytes} bytes, not ${sizeBytes}`);
  if (hashed && done.digest !== digest) throw new Error(`${url}: its bytes are ${done.digest}`);
  return done.firstByteMs;
}
