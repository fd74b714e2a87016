import type { LimitFunction } from 'p-limit';
import type { RepositoryKey } from '../metadata/metadata-store.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import type { Digest } from '../oci/digest.ts';
import { type ImageRoot, type ManifestReader, walkImage } from '../oci/image-walk.ts';
import { MANIFEST_MEDIA_TYPES } from '../oci/media-type.ts';
import { type Platform, printPlatform } from '../oci/platform.ts';
import { printReference, type Reference } from '../oci/reference.ts';
import type { Manifest, ManifestDescription } from '../pull-through/manifests.ts';
import type { PullThrough } from '../pull-through/pull-through.ts';
import type { Served } from '../pull-through/served.ts';
import type { Upstream } from '../upstream/upstream.ts';
import { UpstreamError } from '../upstream/upstream-error.ts';
import type { Courtesy } from './courtesy.ts';
import type { PullBudget } from './pull-budget.ts';
import type { WarmFailure } from './warm-failure.ts';
import type { WarmEvent } from './warm-events.ts';
import type { ImageProgress, WarmProgress } from './warm-progress.ts';

export interface WarmedImage {
  readonly key: RepositoryKey;
  readonly reference: Reference;
  readonly place?: string | undefined;
}

/** What the images of a run share. */
export interface WarmImageParts {
  readonly pullThrough: PullThrough;
  readonly upstream: Upstream;
  readonly budget: PullBudget;
  readonly courtesy: Courtesy;
  readonly progress: WarmProgress;
  readonly platforms: readonly Platform[];
  readonly dryRun: boolean;
  /** Manifests of this upstream that are fetched at the same time. */
  readonly pulls: LimitFunction;
  /** Blobs of this upstream at the same time. */
  readonly blobs: LimitFunction;
  /** Blobs that are being brought in; settles without an error. */
  readonly inFlight: Map<Digest, Promise<void>>;
  readonly tell: (event: WarmEvent) => void;
  /** Never throws. */
  readonly failureOf: (error: unknown) => WarmFailure;
  readonly signal: AbortSignal;
}

/** Of one image; more are only counted. */
const TOLD_FAILURES_LIMIT = 20;
/** Of one image with all of its platforms. Real ones have some hundreds. */
const BLOB_COUNT_LIMIT = 30_000;

/** What a tag or digest means; its size where it is known. */
interface Meaning extends ImageRoot {
  readonly size?: number | undefined;
}

/** One image of a run: all that it consists of is looked for here, and what is missing brought in. */
export class WarmImage {
  readonly #parts: WarmImageParts;
  readonly #image: WarmedImage;
  readonly #name: string;
  readonly #state: ImageProgress;
  readonly #filling: Promise<void>[] = [];
  /** Manifests that were fetched, and are on their way to the disk. */
  readonly #fetched: Digest[] = [];
  /** All of it that is here. */
  readonly #here = new Set<Digest>();
  /** Why a manifest could not be had. */
  readonly #unread = new Map<Digest, WarmFailure | 'unknown'>();
  #told = 0;

  constructor(image: WarmedImage, name: string, parts: WarmImageParts) {
    this.#parts = parts;
    this.#image = image;
    this.#name = name;
    this.#state = parts.progress.begin(name);
  }

  get key(): RepositoryKey {
    return this.#image.key;
  }

  /**
   * All of the image itself.
   * @param also what else belongs to it, once its manifests are known
   */
  async run(also: (manifests: readonly Digest[]) => Promise<void>): Promise<void> {
    const { progress } = this.#parts;
    let root: Digest | undefined;
    try {
      const meaning = await this.meaningOf(this.#image.reference);
      root = meaning?.digest;
      if (meaning !== undefined) await also(await this.walk(meaning, this.#parts.platforms));
      await Promise.all(this.#filling);
      await this.#seeStored();
    } catch (error) {
      this.#failed(this.#parts.failureOf(error));
      await Promise.all(this.#filling);
    } finally {
      progress.end(this.#state);
    }
    this.#tellEnd(root);
  }

  get isWhole(): boolean {
    return this.#state.isWhole;
  }

  /** After all: is what was brought in still here? */
  async seeKept(): Promise<void> {
    const { pullThrough, progress } = this.#parts;
    for (const digest of this.#here) {
      if ((await pullThrough.heldBlob(this.key, digest)) !== undefined) continue;
      progress.lost();
      this.#failed(EVICTED, digest);
      return;
    }
  }

  /**
   * What a reference means now, its manifest brought in where that is how to find out.
   * @returns `undefined` when that was told as a failure, or there is no such tag and `isOptional`
   */
  async meaningOf(reference: Reference, isOptional = false): Promise<Meaning | undefined> {
    const { pullThrough, dryRun, signal } = this.#parts;
    const { key } = this;
    if ('digest' in reference && !dryRun) return { digest: reference.digest, mediaType: '' };
    const here = await pullThrough.heldManifest(key, reference, MANIFEST_MEDIA_TYPES);
    if (here !== undefined) return meaningOf(here.value);
    try {
      const { value, outcome } = await this.#described(reference);
      const { digest, mediaType, sizeBytes } = value;
      if (!dryRun && (await this.#held(digest)) === undefined) {
        // By tag: so that the tag is known here, too.
        return meaningOf((await this.#pull(reference)).value);
      }
      if (!dryRun && outcome !== 'stale')
        await pullThrough.manifest(key, reference, MANIFEST_MEDIA_TYPES, signal);
      return { digest, mediaType, size: sizeBytes };
    } catch (error) {
      if (isOptional && error instanceof UpstreamError && error.reason === 'not-found') return undefined;
      throw error;
    }
  }

  /** By HEAD. What is held and answers in place of an upstream that cannot hides why: that is found out. */
  async #described(reference: Reference): Promise<Served<ManifestDescription>> {
    const { pullThrough, budget, upstream, signal } = this.#parts;
    const { key } = this;
    const describe = () =>
      budget.patiently(
        key.upstream,
        () => pullThrough.manifestDescription(key, reference, MANIFEST_MEDIA_TYPES, signal),
        signal,
      );
    const described = await describe();
    if (described.outcome !== 'stale') return described;
    try {
      const options = { accept: MANIFEST_MEDIA_TYPES, patienceMs: 0 };
      await budget.patiently(
        key.upstream,
        () => upstream.headManifest(key.repository, reference, options, signal),
        signal,
      );
    } catch (error) {
      this.#stale(described.ageMs ?? 0, this.#parts.failureOf(error));
      return described;
    }
    const again = await describe();
    if (again.outcome === 'stale') this.#stale(again.ageMs ?? 0, NO_ANSWER);
    return again;
  }

  /** Brings in what an image consists of. @returns the manifests that were there */
  async walk(root: Meaning, platforms: readonly Platform[]): Promise<readonly Digest[]> {
    const manifests: Digest[] = [];
    for await (const step of walkImage(root, this.#read, platforms)) {
      this.#parts.signal.throwIfAborted();
      if (step.step === 'manifest') {
        manifests.push(step.digest);
        this.#here.add(step.digest);
      } else if (step.step === 'blob') {
        if (this.#filling.length >= BLOB_COUNT_LIMIT) {
          this.#failed(TOO_MUCH);
          break;
        }
        this.#want(step.descriptor);
      } else if (step.step === 'missing') this.#missing(step.digest, step.problem);
      else if (step.step === 'unmatched') {
        const offered = [...new Set(step.offered.map(printPlatform))].join(', ');
        const wanted = platforms.map(printPlatform).join(', ');
        const message = `is not made for ${wanted}, but for ${offered === '' ? 'no platform that it names' : offered}`;
        this.#failed({ reason: 'no-platform', message });
      }
    }
    return manifests;
  }

  readonly #read: ManifestReader = async (root) => {
    const { progress, dryRun } = this.#parts;
    const { digest } = root;
    const here = await this.#held(digest);
    if (here !== undefined) {
      if (!this.#fetched.includes(digest))
        progress.manifest(this.#state, digest, here.value.bytes.length, 'present');
      return here.value;
    }
    if (dryRun) {
      const { size = 0 }: Meaning = root;
      progress.manifest(this.#state, digest, size, 'fetched');
      progress.pulled(this.key.upstream);
      this.#state.atLeast = true;
      this.#unread.set(digest, 'unknown');
      return undefined;
    }
    try {
      return (await this.#pull({ digest })).value;
    } catch (error) {
      this.#unread.set(digest, this.#parts.failureOf(error));
      progress.manifest(this.#state, digest, 0, 'failed');
      return undefined;
    }
  };

  #held(digest: Digest): Promise<Served<Manifest> | undefined> {
    return this.#parts.pullThrough.heldManifest(this.key, { digest }, MANIFEST_MEDIA_TYPES);
  }

  /** A manifest that is not here. */
  async #pull(reference: Reference): Promise<Served<Manifest>> {
    const { pullThrough, budget, progress, upstream, pulls, signal } = this.#parts;
    const { key } = this;
    const types = { accept: MANIFEST_MEDIA_TYPES, patienceMs: 0 };
    const pull = () => pullThrough.manifest(key, reference, MANIFEST_MEDIA_TYPES, signal);
    const look = async (looking: AbortSignal) => {
      await upstream.headManifest(key.repository, reference, types, looking);
    };
    const served = await pulls(() => budget.pull(key.upstream, pull, look, signal));
    const { value, outcome } = served;
    if (outcome === 'miss' || outcome === 'bypass') progress.pulled(key.upstream);
    const isFetched = outcome === 'miss' || outcome === 'joined' || outcome === 'bypass';
    progress.manifest(this.#state, value.digest, value.bytes.length, isFetched ? 'fetched' : 'present');
    this.#fetched.push(value.digest);
    if (outcome === 'stale') this.#stale(served.ageMs ?? 0, NO_ANSWER);
    return served;
  }

  #want({ digest, size }: Descriptor): void {
    this.#parts.progress.listed(this.#state, digest, size);
    this.#filling.push(this.#bringIn(digest, size));
  }

  /** Never fails but for the signal; then nobody waits for it. */
  async #bringIn(digest: Digest, sizeBytes: number): Promise<void> {
    const { progress, failureOf, inFlight } = this.#parts;
    try {
      for (let other = inFlight.get(digest); other !== undefined; other = inFlight.get(digest)) await other;
      const work = progress.hasBlob(digest)
        ? Promise.resolve('present' as const)
        : this.#store(digest, sizeBytes);
      const settled = work.then(
        () => undefined,
        () => undefined,
      );
      inFlight.set(digest, settled);
      try {
        const found = await work;
        progress.blob(this.#state, digest, sizeBytes, found === 'unstored' ? 'failed' : found);
        if (found === 'unstored') this.#failed(NOT_STORED, digest);
        else this.#here.add(digest);
      } finally {
        inFlight.delete(digest);
      }
    } catch (error) {
      progress.blob(this.#state, digest, sizeBytes, 'failed');
      this.#failed(failureOf(error), digest);
    }
  }

  async #store(digest: Digest, sizeBytes: number): Promise<'present' | 'fetched' | 'unstored'> {
    const { pullThrough, budget, courtesy, blobs, dryRun, signal } = this.#parts;
    const { key } = this;
    const isHere = (await pullThrough.heldBlob(key, digest)) !== undefined;
    if (dryRun) return isHere ? 'present' : 'fetched';
    const fill = async () => {
      this.#state.inFlight.add(digest);
      try {
        return await pullThrough.fillBlob(key, digest, sizeBytes, signal);
      } finally {
        this.#state.inFlight.delete(digest);
      }
    };
    // What is here is only looked at: nobody waits for that.
    const outcome = isHere
      ? await fill()
      : await blobs(() =>
          courtesy.run(key.upstream, () => budget.patiently(key.upstream, fill, signal), signal),
        );
    if (outcome === 'bypass') return 'unstored';
    return outcome === 'hit' ? 'present' : 'fetched';
  }

  /** Manifests are stored behind the back of whoever fetches them: what could not be is a failure here. */
  async #seeStored(): Promise<void> {
    const { pullThrough, progress } = this.#parts;
    for (const digest of this.#fetched) {
      if (await pullThrough.storedManifest(this.key, digest)) continue;
      progress.manifest(this.#state, digest, 0, 'failed');
      this.#failed(NOT_STORED, digest);
    }
  }

  #missing(digest: Digest, problem: string): void {
    const why = this.#unread.get(digest);
    if (why === 'unknown') return;
    this.#failed(why ?? { reason: 'protocol', message: problem }, digest);
  }

  /** The upstream could not say what a tag means now. */
  #stale(ageMs: number, { reason, message }: WarmFailure): void {
    const minutes = Math.round(ageMs / 60_000);
    this.#failed({ reason, message: `${message}: what the tag meant ${minutes} minutes ago is kept` });
  }

  failed(error: unknown, digest?: Digest): void {
    this.#failed(this.#parts.failureOf(error), digest);
  }

  #failed({ reason, message }: WarmFailure, digest?: Digest): void {
    const { progress, tell } = this.#parts;
    this.#state.isWhole = false;
    progress.failed(reason);
    this.#told += 1;
    if (this.#told > TOLD_FAILURES_LIMIT) return;
    const { place } = this.#image;
    tell({
      event: 'failed',
      image: this.#name,
      ...(place !== undefined && { place }),
      ...(digest !== undefined && { digest }),
      reason,
      message,
    });
  }

  #tellEnd(digest: Digest | undefined): void {
    const { manifests, blobs, presentBytes, fetchedBytes, isWhole, atLeast } = this.#state;
    this.#parts.tell({
      event: 'image',
      image: this.#name,
      ...(digest !== undefined && { digest }),
      isWhole,
      manifests: { ...manifests },
      blobs: { ...blobs },
      presentBytes,
      fetchedBytes,
      atLeast,
    });
  }
}

const TOO_MUCH: WarmFailure = {
  reason: 'protocol',
  message: 'the image lists more blobs than any real one does',
};

const NO_ANSWER: WarmFailure = { reason: 'unavailable', message: 'the upstream did not answer' };

const EVICTED: WarmFailure = {
  reason: 'not-stored',
  message: 'it was evicted again for what came after it: the cache is too small for all of it',
};

const NOT_STORED: WarmFailure = {
  reason: 'not-stored',
  message: 'there is no room for it in the cache, or the store is in trouble',
};

export function imageName({ key, reference }: WarmedImage): string {
  const separator = 'tag' in reference ? ':' : '@';
  return `${key.upstream}/${key.repository}${separator}${printReference(reference)}`;
}

function meaningOf({ digest, mediaType, bytes }: Manifest): Meaning {
  return { digest, mediaType, size: bytes.length };
}
