import { setImmediate as nextTurn } from 'node:timers/promises';
import pLimit from 'p-limit';
import type { MetadataStore, RepositoryKey } from '../metadata/metadata-store.ts';
import type { Forgotten } from '../metadata/stored-images.ts';
import type { Digest } from '../oci/digest.ts';
import type { ImagePattern } from '../oci/image-pattern.ts';
import { matchesRepository, matchesTag } from '../oci/image-pattern.ts';
import { keyOf, notFound } from './image-list.ts';
import type { Pins } from './pins.ts';
import type { PurgeEvent } from './store-events.ts';
import type { ImageSelection } from './store-operations.ts';

/** Holdings forgotten in one transaction: a millisecond or two. */
const SLICE = 200;
/** Files removed at a time. */
const CONCURRENT_REMOVALS = 4;
const REPOSITORIES_AT_ONCE = 100;

export interface PurgeParts {
  readonly metadata: MetadataStore;
  readonly pins: Pins;
  /** Row first, then file. @returns the bytes that went; 0 when there was no such blob. */
  readonly remove: (digest: Digest) => Promise<number>;
  /** Called for what no repository holds any more: it need not stay in memory either. */
  readonly forget: (digest: Digest) => void;
  /** Called when a repository holds no more what it held. */
  readonly holdingsForgotten: () => void;
  /** Resolves when nobody gives again what was forgotten. */
  readonly forgottenEverywhere: () => Promise<void>;
}

/**
 * Takes away, slice by slice, what repositories hold, so that nothing of it is served any more, and then the rows and
 * files of what no other repository holds. Between slices it may end; what was done stays done.
 */
export async function* purge(
  parts: PurgeParts,
  selection: ImageSelection,
  signal: AbortSignal,
): AsyncIterable<PurgeEvent> {
  const run = new PurgeRun(parts, signal);
  const steps = selection.reference === undefined ? run.repositories(selection) : run.image(selection);
  yield* steps;
  await parts.forgottenEverywhere();
  if (run.repositoryCount === 0) throw await notFound(parts.metadata, selection);
  for (const { pattern } of await parts.pins.patterns())
    if (concerns(pattern, selection)) yield { event: 'still-pinned', pattern: pattern.text };
  yield { event: 'done', ...run.totals, failures: run.failureCount, dryRun: false };
}

class PurgeRun {
  repositoryCount = 0;
  failureCount = 0;
  readonly #parts: PurgeParts;
  readonly #signal: AbortSignal;
  readonly #removals = pLimit(CONCURRENT_REMOVALS);
  #bytes = 0;
  #blobs = 0;

  constructor(parts: PurgeParts, signal: AbortSignal) {
    this.#parts = parts;
    this.#signal = signal;
  }

  get totals(): { readonly repositories: number; readonly bytes: number; readonly blobs: number } {
    return { repositories: this.repositoryCount, bytes: this.#bytes, blobs: this.#blobs };
  }

  async *image(selection: ImageSelection): AsyncIterable<PurgeEvent> {
    const { reference } = selection;
    if (reference === undefined) return;
    const key = keyOf(selection);
    const forgotten = await this.#parts.metadata.images.forgetImage(key, reference);
    if (forgotten === undefined) return;
    this.#parts.holdingsForgotten();
    this.repositoryCount = 1;
    yield { event: 'forgotten', ...key, ...reference };
    for (let from = 0; from < forgotten.unheld.length; from += SLICE) {
      yield* this.#remove({ holdings: 0, unheld: forgotten.unheld.slice(from, from + SLICE) });
    }
  }

  async *repositories({ upstream, repository }: ImageSelection): AsyncIterable<PurgeEvent> {
    const { images } = this.#parts.metadata;
    // What is pulled meanwhile is not chased: it gets a number beyond the last one now.
    const last = await images.lastRepository();
    for (let after = 0; after < last;) {
      const page = await images.repositories({ upstream, repository }, after, REPOSITORIES_AT_ONCE);
      for (const { number, upstream: name, repository: path } of page)
        if (number <= last) yield* this.#repository({ upstream: name, repository: path });
      after = page.at(-1)?.number ?? last;
    }
  }

  async *#repository(key: RepositoryKey): AsyncIterable<PurgeEvent> {
    const { images } = this.#parts.metadata;
    this.repositoryCount += 1;
    for (let isFirst = true; ; isFirst = false) {
      const forgotten = await images.forgetRepository(key, SLICE);
      this.#parts.holdingsForgotten();
      if (isFirst) yield { event: 'forgotten', ...key };
      yield* this.#remove(forgotten);
      if (forgotten.holdings < SLICE) return;
    }
  }

  async *#remove({ unheld }: Forgotten): AsyncIterable<PurgeEvent> {
    const { remove, forget } = this.#parts;
    const failures: { readonly digest: Digest; readonly cause: unknown }[] = [];
    await this.#removals.map(unheld, async (digest) => {
      forget(digest);
      try {
        const bytes = await remove(digest);
        this.#bytes += bytes;
        this.#blobs += 1;
      } catch (cause) {
        failures.push({ digest, cause });
      }
    });
    this.failureCount += failures.length;
    for (const { digest, cause } of failures)
      yield { event: 'failed', digest, message: cause instanceof Error ? cause.message : 'unknown' };
    yield { event: 'progress', ...this.totals };
    await nextTurn();
    this.#signal.throwIfAborted();
  }
}

/** What `purge` would do. */
export async function* purgePlan(
  { metadata, pins }: PurgeParts,
  selection: ImageSelection,
  signal: AbortSignal,
): AsyncIterable<PurgeEvent> {
  const total = { repositories: 0, bytes: 0, blobs: 0 };
  const { upstream, repository, reference } = selection;
  if (reference === undefined) {
    for (let after = 0; ;) {
      const page = await metadata.images.repositories({ upstream, repository }, after, REPOSITORIES_AT_ONCE);
      for (const key of page)
        yield { event: 'forgotten', upstream: key.upstream, repository: key.repository };
      total.repositories += page.length;
      const last = page.at(-1);
      if (last === undefined) break;
      after = last.number;
      await nextTurn();
      signal.throwIfAborted();
    }
    for (let after: number | undefined = 0; after !== undefined;) {
      const found = await metadata.images.heldOnlyBy({ upstream, repository }, after);
      total.bytes += found.bytes;
      total.blobs += found.blobs;
      after = found.next;
      await nextTurn();
      signal.throwIfAborted();
    }
  } else {
    const key = keyOf(selection);
    const forgotten = await metadata.images.wouldForget(key, reference);
    if (forgotten !== undefined) {
      total.repositories = 1;
      yield { event: 'forgotten', ...key, ...reference };
      for (const digest of forgotten.unheld)
        total.bytes += (await metadata.blobs.get(digest))?.sizeBytes ?? 0;
      total.blobs = forgotten.unheld.length;
    }
  }
  if (total.repositories === 0) throw await notFound(metadata, selection);
  for (const { pattern } of await pins.patterns())
    if (concerns(pattern, selection)) yield { event: 'still-pinned', pattern: pattern.text };
  yield { event: 'done', ...total, failures: 0, dryRun: true };
}

/** Does the pattern pin something of it? */
function concerns(pattern: ImagePattern, { upstream, repository, reference }: ImageSelection): boolean {
  if (upstream !== undefined && pattern.upstream !== upstream) return false;
  if (upstream === undefined || repository === undefined) return true;
  if (!matchesRepository(pattern, { upstream, repository })) return false;
  if (reference === undefined) return true;
  if ('digest' in reference) return pattern.digest === reference.digest || pattern.tag === undefined;
  return pattern.digest === undefined && matchesTag(pattern, reference.tag);
}
