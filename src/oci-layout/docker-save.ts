import { createHash } from 'node:crypto';
import { createGunzip } from 'node:zlib';
import { type Digest, digestFrom, digestFromHash, digestOf } from '../oci/digest.ts';
import { DOCKER_MANIFEST, OCI_MANIFEST } from '../oci/media-type.ts';
import { shown } from './entry-register.ts';
import type { ArchiveBody, ImageArchive } from './image-archive.ts';
import { JSON_BYTES_LIMIT, jsonOf } from './layout-json.ts';
import { objectFrom } from './json-object.ts';
import { LayoutError } from './layout-error.ts';

/** An image as `manifest.json` of `docker save` lists it (moby, image/tarexport). */
export interface SavedImage {
  readonly configPath: string;
  /** In order, the lowest first. */
  readonly layerPaths: readonly string[];
  /** As Docker users write them: `nginx:1.27`. */
  readonly names: readonly string[];
}

/** Such an archive has layers and no manifest: this is the one that was made for it, and where what it lists lies. */
export interface MadeManifest {
  readonly digest: Digest;
  readonly mediaType: string;
  readonly bytes: Buffer;
  /** Config and layers. */
  readonly places: readonly LayerFacts[];
}

export interface LayerFacts {
  readonly digest: Digest;
  readonly sizeBytes: number;
  readonly path: string;
}

interface HashedLayer extends LayerFacts {
  readonly packing: 'none' | 'gzip' | 'zstd';
  /** Of the tar, uncompressed, where that is known. */
  readonly diffId: Digest | undefined;
}

const IMAGE_COUNT_LIMIT = 10_000;
const LAYER_COUNT_LIMIT = 1000;

/** @throws LayoutError */
export async function savedImages(
  archive: ImageArchive,
  signal: AbortSignal,
): Promise<readonly SavedImage[]> {
  const place = `${archive.name}: manifest.json`;
  const document = await jsonOf(archive, 'manifest.json', signal);
  if (!Array.isArray(document)) throw new LayoutError('invalid', `${place}: is no list of images`);
  if (document.length > IMAGE_COUNT_LIMIT) throw new LayoutError('too-large', `${place}: too many images`);
  return document.map((value: unknown, at): SavedImage => {
    const { Config, Layers, RepoTags } = objectFrom(value);
    const layerPaths = textsFrom(Layers);
    if (typeof Config !== 'string' || layerPaths === undefined || layerPaths.length > LAYER_COUNT_LIMIT)
      throw new LayoutError('invalid', `${place}: image ${at + 1} names no config and layers`);
    return { configPath: Config, layerPaths, names: textsFrom(RepoTags) ?? [] };
  });
}

/**
 * Reads all their layers, compares them with what the configs say of them, and makes a manifest for each. Equal archives
 * give equal manifests.
 * @returns in the order of `images`; what is wrong with one, where it cannot be made
 * @throws LayoutError for what is wrong with the archive
 */
export async function madeManifests(
  archive: ImageArchive,
  images: readonly SavedImage[],
  onBytes: (bytes: number) => void,
  signal: AbortSignal,
): Promise<readonly (MadeManifest | LayoutError)[]> {
  const paths = new Set(
    images.flatMap(({ layerPaths }) => layerPaths.map((path) => realPath(archive, path))),
  );
  const layers = new Map<string, HashedLayer>();
  for await (const body of archive.bodies(paths, signal)) layers.set(body.path, await hashed(body, onBytes));
  const made: (MadeManifest | LayoutError)[] = [];
  for (const image of images) made.push(await orError(manifestOf(archive, image, layers, signal)));
  return made;
}

/** Where an image has a layer twice, or several have it, all but one are links to that one. */
function realPath(archive: ImageArchive, path: string): string {
  const plain = path.replace(/^\.\//, '');
  return archive.linkedTo(plain) ?? plain;
}

async function manifestOf(
  archive: ImageArchive,
  { configPath, layerPaths }: SavedImage,
  hashedLayers: ReadonlyMap<string, HashedLayer>,
  signal: AbortSignal,
): Promise<MadeManifest> {
  const config = await configOf(archive, configPath, signal);
  const layers = layerPaths.map((path) => {
    const layer = hashedLayers.get(realPath(archive, path));
    if (layer === undefined)
      throw new LayoutError(
        'damaged',
        `${archive.name}: ${shown(path)} is missing, a layer of ${configPath}`,
      );
    return layer;
  });
  checkDiffIds(archive, { configPath, diffIds: config.diffIds }, layers);
  const isOci = layers.some(({ packing }) => packing === 'zstd');
  const document = {
    schemaVersion: 2,
    mediaType: isOci ? OCI_MANIFEST : DOCKER_MANIFEST,
    config: {
      mediaType: isOci
        ? 'application/vnd.oci.image.config.v1+json'
        : 'application/vnd.docker.container.image.v1+json',
      size: config.sizeBytes,
      digest: config.digest,
    },
    layers: layers.map(({ packing, sizeBytes, digest }) => ({
      mediaType: layerType(packing, isOci),
      size: sizeBytes,
      digest,
    })),
  };
  const bytes = Buffer.from(JSON.stringify(document));
  const { mediaType } = document;
  const { digest, sizeBytes, path } = config;
  return { digest: digestOf(bytes), mediaType, bytes, places: [{ digest, sizeBytes, path }, ...layers] };
}

function layerType(packing: HashedLayer['packing'], isOci: boolean): string {
  if (isOci) return `application/vnd.oci.image.layer.v1.tar${packing === 'none' ? '' : `+${packing}`}`;
  return `application/vnd.docker.image.rootfs.diff.tar${packing === 'none' ? '' : '.gzip'}`;
}

async function configOf(
  archive: ImageArchive,
  configPath: string,
  signal: AbortSignal,
): Promise<LayerFacts & { readonly diffIds: readonly Digest[] }> {
  const path = realPath(archive, configPath);
  const place = `${archive.name}: ${shown(configPath)}`;
  const bytes = await archive.readSmall(path, JSON_BYTES_LIMIT, signal);
  if (bytes === undefined) throw new LayoutError('damaged', `${place} is missing, which manifest.json names`);
  const digest = digestOf(bytes);
  // Most writers name it by its digest.
  const named = /(?:^|[/:])(?<hex>[0-9a-f]{64})(?:\.json)?$/.exec(configPath)?.groups?.['hex'];
  if (named !== undefined && digest !== `sha256:${named}`)
    throw new LayoutError('damaged', `${place} was altered: its digest is ${digest}`);
  let document: unknown;
  try {
    document = JSON.parse(bytes.toString('utf8'));
  } catch (cause) {
    throw new LayoutError('invalid', `${place} is no JSON`, { cause });
  }
  const listed = textsFrom(objectFrom(objectFrom(document)['rootfs'])['diff_ids']) ?? [];
  const diffIds = listed.map((text) => digestFrom(text));
  if (!diffIds.every((id) => id !== undefined))
    throw new LayoutError('invalid', `${place} is no config of an image`);
  return { digest, sizeBytes: bytes.length, path, diffIds };
}

function checkDiffIds(
  { name }: ImageArchive,
  { configPath, diffIds }: { readonly configPath: string; readonly diffIds: readonly Digest[] },
  layers: readonly HashedLayer[],
): void {
  if (diffIds.length !== layers.length)
    throw new LayoutError(
      'damaged',
      `${name}: ${shown(configPath)} names ${diffIds.length} layers, and manifest.json ${layers.length}`,
    );
  const altered = layers.find(({ diffId }, at) => diffId !== undefined && diffId !== diffIds[at]);
  if (altered !== undefined)
    throw new LayoutError(
      'damaged',
      `${name}: ${shown(altered.path)} was altered: its bytes are not those that ${shown(configPath)} names`,
    );
}

async function hashed(
  { path, sizeBytes, body }: ArchiveBody,
  onBytes: (bytes: number) => void,
): Promise<HashedLayer> {
  const hash = createHash('sha256');
  let packing: HashedLayer['packing'] = 'none';
  let tar: TarHash | undefined;
  let isFirst = true;
  for await (const chunk of body) {
    if (isFirst) packing = packingOf(chunk);
    if (isFirst && packing === 'gzip') tar = new TarHash();
    isFirst = false;
    hash.update(chunk);
    await tar?.add(chunk);
    onBytes(chunk.length);
  }
  const digest = digestFromHash('sha256', hash);
  const diffId = packing === 'none' ? digest : await tar?.end();
  return { path, sizeBytes, digest, packing, diffId };
}

/** The digest of what is in a gzip. */
class TarHash {
  readonly #hash = createHash('sha256');
  readonly #gunzip = createGunzip();
  readonly #ended: Promise<boolean>;

  constructor() {
    this.#gunzip.on('data', (chunk: Buffer) => this.#hash.update(chunk));
    this.#ended = new Promise((resolve) => {
      this.#gunzip.on('end', () => resolve(true));
      this.#gunzip.on('error', () => resolve(false));
      this.#gunzip.on('close', () => resolve(false));
    });
  }

  async add(chunk: Uint8Array): Promise<void> {
    if (this.#gunzip.destroyed) return;
    // Its memory is used again: nothing may be left waiting. Of what is damaged, or comes after its end, nobody is told
    // that it was taken.
    const taken = new Promise<void>((resolve) => {
      this.#gunzip.write(chunk, () => resolve());
    });
    await Promise.race([taken, this.#ended]);
  }

  /** What cannot be unpacked has a digest that nothing names. */
  async end(): Promise<Digest> {
    this.#gunzip.end();
    return (await this.#ended) ? digestFromHash('sha256', this.#hash) : digestOf(Buffer.from('damaged'));
  }
}

function packingOf(chunk: Uint8Array): HashedLayer['packing'] {
  if (chunk[0] === 0x1f && chunk[1] === 0x8b) return 'gzip';
  const isZstd = chunk[0] === 0x28 && chunk[1] === 0xb5 && chunk[2] === 0x2f && chunk[3] === 0xfd;
  return isZstd ? 'zstd' : 'none';
}

async function orError<T>(work: Promise<T>): Promise<T | LayoutError> {
  try {
    return await work;
  } catch (error) {
    if (error instanceof LayoutError) return error;
    throw error;
  }
}

function textsFrom(value: unknown): readonly string[] | undefined {
  if (!Array.isArray(value)) return undefined;
  return value.every((item) => typeof item === 'string') ? value : undefined;
}
