import { type Digest, digestFrom } from '../oci/digest.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import { type ImageRoot, walkImage } from '../oci/image-walk.ts';
import type { ImageReference } from '../oci/image-reference.ts';
import { type Platform, printPlatform } from '../oci/platform.ts';
import type { RepositoryKey } from '../metadata/repository-key.ts';
import type { StoreContents } from './store-contents.ts';
import type { ImageEntry } from './store-events.ts';
import { storedDocument } from './stored-document.ts';
import { StoreOperationError } from './store-operation-error.ts';
import type { StoreOperations } from './store-operations.ts';

/** Of some part of an image, what clients would not be given. */
export interface Lack {
  readonly manifests: number;
  readonly blobs: number;
  /** Of those whose size is known. */
  readonly bytes: number;
}

export interface PlatformAvailability extends Lack {
  readonly platform: string;
  readonly isWhole: boolean;
}

/** Whether clients would be given an image while its upstream is not asked. */
export interface ImageAvailability {
  /** `missing`: not even its root; or it has nothing for the platforms that were asked for. */
  readonly state: 'whole' | 'partly' | 'missing';
  /** What its tag means here. */
  readonly digest?: Digest | undefined;
  readonly missing: Lack;
  /** A manifest is not stored, and what it lists is not known: more is missing. */
  readonly atLeast: boolean;
  /** Of an image of several. */
  readonly platforms: readonly PlatformAvailability[];
  /** Why, where that is not plain from what is missing. */
  readonly problem?: string | undefined;
}

export interface AvailabilityParts {
  readonly operations: Pick<StoreOperations, 'images'>;
  readonly contents: Pick<StoreContents, 'read' | 'withheld'>;
  /** Empty: all. */
  readonly platforms: readonly Platform[];
  /** Finds what refers to a manifest, as far as that is known here, which is then wanted too. Absent: it is not. */
  readonly referrersOf?:
    ((key: RepositoryKey, subject: Digest, signal: AbortSignal) => Promise<readonly ImageRoot[]>) | undefined;
}

/**
 * Walks an image as a client would, over what is stored and what its repository was seen to hold. BuildKit's
 * attestations count only among the referrers: no client needs them to pull.
 * @throws StoreOperationError, the signal's reason
 */
export async function imageAvailability(
  { upstream, repository, reference }: ImageReference,
  parts: AvailabilityParts,
  signal: AbortSignal,
): Promise<ImageAvailability> {
  const key = { upstream, repository };
  const root = await rootOf({ upstream, repository, reference }, parts, signal);
  if (root === undefined) return missing(undefined, 'nothing is known of it here');
  const walk = new AvailabilityWalk(key, parts, signal);
  await walk.add(root);
  return walk.result(root.digest);
}

async function rootOf(
  image: ImageReference,
  { operations }: AvailabilityParts,
  signal: AbortSignal,
): Promise<ImageRoot | undefined> {
  let found: ImageEntry | undefined;
  try {
    for await (const entry of operations.images(image, signal)) found = entry;
  } catch (error) {
    if (!(error instanceof StoreOperationError) || error.reason !== 'not-found') throw error;
  }
  const digest = digestFrom(found?.digest);
  return found === undefined || digest === undefined ? undefined : { digest, mediaType: found.mediaType };
}

function missing(digest: Digest | undefined, problem: string): ImageAvailability {
  return {
    state: 'missing',
    ...(digest !== undefined && { digest }),
    missing: { manifests: 1, blobs: 0, bytes: 0 },
    atLeast: true,
    platforms: [],
    problem,
  };
}

/** Manifests of one image whose referrers are looked for; real ones have a few for each platform. */
const SUBJECT_LIMIT = 1_000;

/** A manifest or blob that belongs to an image, and to which of its platforms. */
interface Part {
  readonly digest: Digest;
  readonly bytes: number;
  readonly isManifest: boolean;
  readonly platforms: Set<string>;
}

class AvailabilityWalk {
  readonly #key: RepositoryKey;
  readonly #parts: AvailabilityParts;
  readonly #signal: AbortSignal;
  readonly #wanted = new Map<Digest, Part>();
  readonly #unread = new Set<Digest>();
  /** What indexes say of their children. */
  readonly #children = new Map<Digest, Descriptor>();
  readonly #platforms = new Set<string>();
  readonly #subjects: Digest[] = [];
  #problem: string | undefined;
  #isUnmatched = false;

  constructor(key: RepositoryKey, parts: AvailabilityParts, signal: AbortSignal) {
    this.#key = key;
    this.#parts = parts;
    this.#signal = signal;
  }

  async add(root: ImageRoot): Promise<void> {
    await this.#walk(root, this.#parts.platforms);
    const { referrersOf } = this.#parts;
    if (referrersOf === undefined) return;
    // Grows meanwhile: of a signature of an SBOM.
    for (const [at, subject] of this.#subjects.entries()) {
      if (at >= SUBJECT_LIMIT) break;
      for (const { digest, mediaType } of await referrersOf(this.#key, subject, this.#signal))
        if (!this.#wanted.has(digest)) await this.#walk({ digest, mediaType }, []);
    }
  }

  async result(digest: Digest): Promise<ImageAvailability> {
    const wanted = [...this.#wanted.values()];
    const withheld = new Set([
      ...this.#unread,
      ...(await this.#parts.contents.withheld(this.#key, wanted.map(askedOf), this.#signal)),
    ]);
    const lacking = wanted.filter((part) => withheld.has(part.digest));
    const platforms = [...this.#platforms].map((platform) => {
      const lack = lackOf(lacking.filter((part) => part.platforms.has(platform)));
      return Object.assign(lack, { platform, isWhole: lack.manifests + lack.blobs === 0 });
    });
    if (withheld.has(digest)) return missing(digest, this.#problem ?? 'its manifest is not here');
    const state = this.#isUnmatched ? 'missing' : lacking.length === 0 ? 'whole' : 'partly';
    return {
      state,
      digest,
      missing: lackOf(lacking),
      atLeast: this.#unread.size > 0,
      platforms,
      ...(this.#problem !== undefined && { problem: this.#problem }),
    };
  }

  async #walk(root: ImageRoot, platforms: readonly Platform[]): Promise<void> {
    this.#want(root.digest, { isManifest: true, bytes: 0, of: undefined });
    for await (const step of walkImage(root, (manifest) => this.#read(manifest), platforms)) {
      switch (step.step) {
        case 'manifest':
          if (this.#isAttestation(step.digest)) break;
          this.#subjects.push(step.digest);
          if (step.facts.isIndex) this.#noteChildren(step.facts.descriptors);
          this.#want(step.digest, { isManifest: true, bytes: step.bytes.length, of: step.digest });
          if (!step.facts.isIndex) this.#wantBlobs(step.digest, step.facts.descriptors);
          break;
        case 'blob':
          if (this.#isAttestation(step.manifest)) break;
          // Of an index; what a manifest lists is known from it.
          this.#want(step.descriptor.digest, {
            isManifest: false,
            bytes: step.descriptor.size,
            of: step.manifest,
          });
          break;
        case 'missing':
          if (this.#isAttestation(step.digest)) break;
          this.#unread.add(step.digest);
          if (step.problem !== 'not found') this.#problem = step.problem;
          this.#want(step.digest, {
            isManifest: true,
            bytes: this.#children.get(step.digest)?.size ?? 0,
            of: step.digest,
          });
          break;
        case 'unmatched':
          this.#isUnmatched = true;
          this.#problem = `it is made for ${step.offered.map(printPlatform).join(', ')}`;
          break;
        case 'foreign':
        case 'left-out':
          break;
      }
    }
  }

  /** Also what clients would not be given: what it lists is known then. */
  async #read(
    root: ImageRoot,
  ): Promise<{ readonly bytes: Uint8Array; readonly mediaType: string } | undefined> {
    try {
      const bytes = await this.#bytesOf(root.digest);
      return bytes && { bytes, mediaType: root.mediaType };
    } catch (error) {
      // Damaged: it is set aside, and clients are not given it either.
      if (error instanceof StoreOperationError && error.reason === 'failed') return undefined;
      throw error;
    }
  }

  #bytesOf(digest: Digest): Promise<Buffer | undefined> {
    return storedDocument(this.#parts.contents, digest, this.#signal, { isUse: false });
  }

  /** From the manifest, not from the walk, which names what several list only once. */
  #wantBlobs(manifest: Digest, listed: readonly Descriptor[]): void {
    for (const { digest, size, held } of listed)
      if (held) this.#want(digest, { isManifest: false, bytes: size, of: manifest });
  }

  #noteChildren(children: readonly Descriptor[]): void {
    for (const child of children) this.#children.set(child.digest, child);
  }

  #isAttestation(digest: Digest): boolean {
    return this.#parts.referrersOf === undefined && this.#children.get(digest)?.attests !== undefined;
  }

  #want(
    digest: Digest,
    { isManifest, bytes, of }: Pick<Part, 'isManifest' | 'bytes'> & { readonly of: Digest | undefined },
  ): void {
    const known = this.#wanted.get(digest);
    const part = { digest, isManifest, bytes, platforms: known?.platforms ?? new Set<string>() };
    this.#wanted.set(digest, part);
    const child = of === undefined ? undefined : this.#children.get(of);
    if (child?.platform === undefined || child.attests !== undefined) return;
    const platform = printPlatform(child.platform);
    this.#platforms.add(platform);
    part.platforms.add(platform);
  }
}

function askedOf({ digest, isManifest }: Part): { readonly digest: Digest; readonly isManifest: boolean } {
  return { digest, isManifest };
}

function lackOf(parts: readonly Part[]): Lack {
  const manifests = parts.filter(({ isManifest }) => isManifest).length;
  return {
    manifests,
    blobs: parts.length - manifests,
    bytes: parts.reduce((sum, { bytes }) => sum + bytes, 0),
  };
}
