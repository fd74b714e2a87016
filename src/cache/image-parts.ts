import type { MetadataStore } from '../metadata/metadata-store.ts';
import type { RepositoryKey } from '../metadata/repository-key.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import type { Digest } from '../oci/digest.ts';
import { walkImage } from '../oci/image-walk.ts';
import { declaredMediaType, ManifestError, type ManifestFacts } from '../oci/manifest.ts';
import { printPlatform } from '../oci/platform.ts';
import type { StoreContents } from './store-contents.ts';
import { storedDocument } from './stored-document.ts';
import { StoreOperationError } from './store-operation-error.ts';

/** Whether some content is here, and clients of a repository are given it without its upstream's word. */
export interface PartState {
  readonly digest: Digest;
  readonly sizeBytes: number;
  readonly isStored: boolean;
  /** False though it is stored: this repository was not seen to hold it. */
  readonly isServed: boolean;
}

/** One manifest of an image, with what it lists. */
export interface PlatformParts {
  /** As its index says; absent for a manifest of its own. */
  readonly platform?: string | undefined;
  readonly manifest: PartState;
  /** Config and layers; absent: not known, since the manifest is not stored. */
  readonly blobs: readonly PartState[] | undefined;
}

export interface ImageParts {
  readonly root: PartState & { readonly mediaType: string | undefined };
  readonly platforms: readonly PlatformParts[];
}

export interface ImagePartsSources {
  readonly metadata: Pick<MetadataStore, 'holding'>;
  readonly contents: Pick<StoreContents, 'read' | 'lacking' | 'withheld'>;
}

/** Manifests of one image that are looked into; real ones have some tens. */
const MANIFEST_LIMIT = 500;

/**
 * What an image consists of, as far as its manifests are stored, and what of that is here. Attestations are left out: no
 * client needs them to pull. Nothing counts as used by it.
 * @throws StoreOperationError, the signal's reason
 */
export async function imageParts(
  { metadata, contents }: ImagePartsSources,
  key: RepositoryKey,
  digest: Digest,
  signal: AbortSignal,
): Promise<ImageParts> {
  const states = new PartStates(contents, key, signal);
  const holding = await metadata.holding(key, digest);
  const bytes = await readable(contents, digest, signal);
  const mediaType = holding?.manifestType ?? (bytes && typeOf(bytes));
  const size = bytes?.length ?? holding?.sizeBytes ?? 0;
  const state = await states.one({ digest, size }, true);
  const root = { ...state, mediaType };
  if (bytes === undefined || mediaType === undefined) return { root, platforms: [] };
  const platforms: PlatformParts[] = [];
  const children = new Map<Digest, Descriptor>();
  const read = async (wanted: { readonly digest: Digest; readonly mediaType: string }) => {
    const found = await readable(contents, wanted.digest, signal);
    return found && { bytes: found, mediaType: wanted.mediaType };
  };
  for await (const step of walkImage({ digest, mediaType }, read)) {
    if (step.step === 'manifest' && step.facts.isIndex)
      for (const child of step.facts.descriptors) children.set(child.digest, child);
    else if (step.step === 'manifest' || step.step === 'missing') {
      const child = children.get(step.digest);
      if (child?.attests !== undefined) continue;
      const facts = step.step === 'manifest' ? step.facts : undefined;
      platforms.push(await platformOf(states, { digest: step.digest, child, facts }));
      if (platforms.length === MANIFEST_LIMIT) break;
    }
  }
  return { root, platforms };
}

/** What of a platform is here, summed up. `bytes` are those of config and layers as the manifest tells them. */
export function platformSums({ platform, manifest, blobs }: PlatformParts) {
  return {
    ...(platform !== undefined && { platform }),
    digest: manifest.digest,
    isStored: manifest.isStored,
    isWhole: manifest.isServed && blobs !== undefined && blobs.every(({ isServed }) => isServed),
    ...(blobs !== undefined && { blobs: blobs.length, bytes: bytesOf(blobs) }),
    presentBytes: bytesOf((blobs ?? []).filter(({ isStored }) => isStored)),
  };
}

function bytesOf(parts: readonly PartState[]): number {
  return parts.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
}

async function platformOf(
  states: PartStates,
  {
    digest,
    child,
    facts,
  }: {
    readonly digest: Digest;
    readonly child: Descriptor | undefined;
    readonly facts: ManifestFacts | undefined;
  },
): Promise<PlatformParts> {
  const manifest = await states.one({ digest, size: child?.size ?? 0 }, true);
  const held = facts?.descriptors.filter((descriptor) => descriptor.held);
  return {
    ...(child?.platform !== undefined && { platform: printPlatform(child.platform) }),
    manifest,
    blobs: held && (await states.all(held, false)),
  };
}

type Sized = Pick<Descriptor, 'digest' | 'size'>;

/** Looks up what is here, each list at once. */
class PartStates {
  readonly #contents: ImagePartsSources['contents'];
  readonly #key: RepositoryKey;
  readonly #signal: AbortSignal;

  constructor(contents: ImagePartsSources['contents'], key: RepositoryKey, signal: AbortSignal) {
    this.#contents = contents;
    this.#key = key;
    this.#signal = signal;
  }

  async one(wanted: Sized, isManifest: boolean): Promise<PartState> {
    const [state] = await this.all([wanted], isManifest);
    return state ?? { digest: wanted.digest, sizeBytes: wanted.size, isStored: false, isServed: false };
  }

  async all(wanted: readonly Sized[], isManifest: boolean): Promise<readonly PartState[]> {
    const digests = wanted.map(({ digest }) => digest);
    const asked = digests.map((digest) => ({ digest, isManifest }));
    const lacking = new Set(await this.#contents.lacking(digests, this.#signal));
    const withheld = new Set(await this.#contents.withheld(this.#key, asked, this.#signal));
    return wanted.map(({ digest, size }) => ({
      digest,
      sizeBytes: size,
      isStored: !lacking.has(digest),
      isServed: !withheld.has(digest),
    }));
  }
}

/** What is damaged is set aside meanwhile, and is not here. */
async function readable(
  contents: ImagePartsSources['contents'],
  digest: Digest,
  signal: AbortSignal,
): Promise<Buffer | undefined> {
  try {
    return await storedDocument(contents, digest, signal, { isUse: false });
  } catch (error) {
    if (error instanceof StoreOperationError && error.reason === 'failed') return undefined;
    throw error;
  }
}

function typeOf(bytes: Buffer): string | undefined {
  try {
    return declaredMediaType(bytes);
  } catch (error) {
    if (error instanceof ManifestError) return undefined;
    throw error;
  }
}
