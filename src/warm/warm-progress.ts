import type { Digest } from '../oci/digest.ts';
import type { WarmEvent, WarmFailureReason } from './warm-events.ts';

/** Images that a progress event names. */
const ACTIVE_LIMIT = 16;

export interface Tally {
  present: number;
  fetched: number;
  failed: number;
}

/** What is known of an image under way. */
export interface ImageProgress {
  readonly image: string;
  readonly manifests: Tally;
  readonly blobs: Tally;
  presentBytes: number;
  fetchedBytes: number;
  totalBytes: number;
  /** Blobs of it that are being brought in. */
  readonly inFlight: Set<Digest>;
  atLeast: boolean;
  isWhole: boolean;
}

type Found = keyof Tally;

interface Counted {
  readonly sizeBytes: number;
  found: Found | undefined;
}

/** What a run has come to: each manifest and blob counts once, however many images list it. */
export class WarmProgress {
  readonly images = { total: 0, whole: 0, failed: 0 };
  readonly #manifests = new Map<Digest, Counted>();
  readonly #blobs = new Map<Digest, Counted>();
  readonly #active = new Set<ImageProgress>();
  readonly #failures = new Map<WarmFailureReason, number>();
  readonly #pulls = new Map<string, number>();
  #totalBytes = 0;
  #presentBytes = 0;
  #fetchedBytes = 0;
  #doneBlobs = 0;

  begin(image: string): ImageProgress {
    const progress: ImageProgress = {
      image,
      manifests: emptyTally(),
      blobs: emptyTally(),
      presentBytes: 0,
      fetchedBytes: 0,
      totalBytes: 0,
      inFlight: new Set(),
      atLeast: false,
      isWhole: true,
    };
    this.#active.add(progress);
    return progress;
  }

  end(image: ImageProgress): void {
    this.#active.delete(image);
    if (image.isWhole) this.images.whole += 1;
    else this.images.failed += 1;
  }

  /** An image that was whole is not any more. */
  lost(): void {
    this.images.whole -= 1;
    this.images.failed += 1;
  }

  failed(reason: WarmFailureReason): void {
    this.#failures.set(reason, (this.#failures.get(reason) ?? 0) + 1);
  }

  pulled(upstream: string): void {
    this.#pulls.set(upstream, (this.#pulls.get(upstream) ?? 0) + 1);
  }

  manifest(image: ImageProgress, digest: Digest, sizeBytes: number, found: Found): void {
    image.manifests[found] += 1;
    image.totalBytes += sizeBytes;
    count(image, sizeBytes, found);
    const known = this.#manifests.get(digest);
    // What another image of this run brought in was fetched, and is present for this one.
    if (known?.found !== undefined && known.found !== 'failed') return;
    this.#manifests.set(digest, { sizeBytes, found });
    if (known === undefined) this.#totalBytes += sizeBytes;
    this.#count(sizeBytes, found);
  }

  /** An image lists a blob. */
  listed(image: ImageProgress, digest: Digest, sizeBytes: number): void {
    image.totalBytes += sizeBytes;
    if (this.#blobs.has(digest)) return;
    this.#blobs.set(digest, { sizeBytes, found: undefined });
    this.#totalBytes += sizeBytes;
  }

  /** What became of a blob that was listed. */
  blob(image: ImageProgress, digest: Digest, sizeBytes: number, found: Found): void {
    image.blobs[found] += 1;
    count(image, sizeBytes, found);
    const known = this.#blobs.get(digest);
    if (known?.found !== undefined && known.found !== 'failed') return;
    if (known?.found === undefined) this.#doneBlobs += 1;
    this.#blobs.set(digest, { sizeBytes, found });
    this.#count(sizeBytes, found);
  }

  /** Was it found or brought in by this run? */
  hasBlob(digest: Digest): boolean {
    const found = this.#blobs.get(digest)?.found;
    return found === 'present' || found === 'fetched';
  }

  /** @param bytesOf what came in so far of a blob in flight */
  event(bytesOf: (digest: Digest) => number): Extract<WarmEvent, { event: 'progress' }> {
    const { total, whole, failed } = this.images;
    const inFlight = new Map(
      [...this.#active].flatMap((image) =>
        [...image.inFlight].map((digest) => [digest, bytesOf(digest)] as const),
      ),
    );
    let flyingBytes = 0;
    for (const bytes of inFlight.values()) flyingBytes += bytes;
    return {
      event: 'progress',
      images: { done: whole + failed, failed, total },
      blobs: { done: this.#doneBlobs, total: this.#blobs.size },
      presentBytes: this.#presentBytes,
      fetchedBytes: this.#fetchedBytes + flyingBytes,
      totalBytes: this.#totalBytes,
      active: [...this.#active].slice(0, ACTIVE_LIMIT).map((image) => {
        let doneBytes = image.presentBytes + image.fetchedBytes;
        for (const digest of image.inFlight) doneBytes += inFlight.get(digest) ?? 0;
        return { image: image.image, doneBytes, totalBytes: image.totalBytes };
      }),
    };
  }

  /** All of it, as the last event says it. */
  get summary() {
    return {
      images: { ...this.images },
      manifests: tallyOf(this.#manifests),
      blobs: tallyOf(this.#blobs),
      presentBytes: this.#presentBytes,
      fetchedBytes: this.#fetchedBytes,
      failures: [...this.#failures]
        .map(([reason, times]) => ({ reason, count: times }))
        .toSorted((a, b) => b.count - a.count),
      pulls: [...this.#pulls].map(([upstream, pulls]) => ({ upstream, pulls })),
    };
  }

  #count(sizeBytes: number, found: Found): void {
    if (found === 'present') this.#presentBytes += sizeBytes;
    if (found === 'fetched') this.#fetchedBytes += sizeBytes;
  }
}

function count(image: ImageProgress, sizeBytes: number, found: Found): void {
  if (found === 'present') image.presentBytes += sizeBytes;
  if (found === 'fetched') image.fetchedBytes += sizeBytes;
}

function emptyTally(): Tally {
  return { present: 0, fetched: 0, failed: 0 };
}

function tallyOf(counted: ReadonlyMap<Digest, Counted>): Tally {
  const tally = emptyTally();
  for (const { found } of counted.values()) if (found !== undefined) tally[found] += 1;
  return tally;
}
