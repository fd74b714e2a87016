import { setImmediate as nextTurn } from 'node:timers/promises';
import pLimit from 'p-limit';
import type { Clock } from '../clock.ts';
import type { Content } from '../content/content.ts';
import type { SlabPool } from '../content/slabs.ts';
import { deferred } from '../deferred.ts';
import type { MetadataStore } from '../metadata/metadata-store.ts';
import type { RepositoryKey } from '../metadata/repository-key.ts';
import type { BlobPage } from '../metadata/stored-blobs.ts';
import type { Digest } from '../oci/digest.ts';
import type { BlobCache } from './blob-cache.ts';
import { ContentChunks } from './content-chunks.ts';
import { takeIn } from './content-intake.ts';
import { takeImageIn } from './image-intake.ts';
import type { SparedContents } from './spared-contents.ts';
import type {
  ContentBody,
  ContentEntry,
  NewContent,
  NewImage,
  StoreContents,
  WantedContent,
} from './store-contents.ts';
import { StoreOperationError } from './store-operation-error.ts';
import { translated } from './translated.ts';

export interface LocalContentsParts {
  readonly metadata: MetadataStore;
  readonly cache: BlobCache;
  /** What is read is hashed in them, and what comes in is written and hashed from them. */
  readonly slabs: SlabPool;
  /** Told what comes in. */
  readonly spared: SparedContents;
  readonly clock: Clock;
}

/** Rows in one call of the index. */
const PAGE_LIMIT = 500;
/** Look-ups in one turn of the event loop: about a millisecond. */
const LOOKUPS_AT_ONCE = 200;

/** The contents of the store that is open in this process. */
export class LocalContents implements StoreContents {
  readonly #parts: LocalContentsParts;
  readonly #ending = new AbortController();
  readonly #open = new Set<Promise<undefined>>();
  readonly #images = pLimit(1);

  constructor(parts: LocalContentsParts) {
    this.#parts = parts;
  }

  async read(
    digest: Digest,
    signal: AbortSignal,
    { isUse } = { isUse: true },
  ): Promise<ContentBody | undefined> {
    const joined = this.#joined(signal);
    const onClose = this.#begun();
    const content = await this.#opened(digest, isUse).catch((error: unknown) => {
      onClose();
      throw error;
    });
    if (content === undefined) {
      onClose();
      return undefined;
    }
    const body = new ContentChunks({ content, digest, signal: joined, onClose });
    return { sizeBytes: content.sizeBytes, body };
  }

  async *list(signal: AbortSignal): AsyncGenerator<ContentEntry, void> {
    const joined = this.#joined(signal);
    for (let after: number | undefined = 0; after !== undefined;) {
      const page: BlobPage = await translated(this.#parts.metadata.blobs.page(after, PAGE_LIMIT));
      for (const { digest, sizeBytes } of page.blobs) yield { digest, sizeBytes };
      after = page.next;
      await nextTurn();
      joined.throwIfAborted();
    }
  }

  async lacking(digests: readonly Digest[], signal: AbortSignal): Promise<readonly Digest[]> {
    const isLacking = async (digest: Digest) => (await this.#row(digest)) === undefined;
    return this.#those(digests, isLacking, signal);
  }

  async withheld(
    key: RepositoryKey,
    wanted: readonly WantedContent[],
    signal: AbortSignal,
  ): Promise<readonly Digest[]> {
    const isWithheld = async ({ digest, isManifest }: WantedContent) => {
      const holding = await translated(this.#parts.metadata.holding(key, digest));
      const isHeld = isManifest ? holding?.manifestType !== undefined : holding !== undefined;
      return !isHeld || (await this.#row(digest)) === undefined;
    };
    return (await this.#those(wanted, isWithheld, signal)).map(({ digest }) => digest);
  }

  async referrers(
    key: RepositoryKey,
    subject: Digest,
    signal: AbortSignal,
  ): Promise<readonly Record<string, unknown>[]> {
    this.#joined(signal);
    return (await translated(this.#parts.metadata.referrers(key, subject)))?.items ?? [];
  }

  add(
    content: NewContent,
    body: AsyncIterable<Uint8Array>,
    signal: AbortSignal,
  ): Promise<'added' | 'present'> {
    return this.#during(signal, (joined) => takeIn(this.#parts, content, body, joined));
  }

  addImage(image: NewImage, signal: AbortSignal): Promise<'added' | 'present'> {
    return this.#during(signal, (joined) =>
      translated(this.#images(() => takeImageIn(this.#parts, image, joined))),
    );
  }

  /** Ends what is read, and waits until nothing is. */
  async close(): Promise<void> {
    this.#ending.abort(new StoreOperationError('failed', 'entrepot is shutting down'));
    await Promise.all(this.#open);
  }

  async #opened(digest: Digest, isUse: boolean): Promise<Content | undefined> {
    const { cache, slabs } = this.#parts;
    if ((await this.#row(digest)) === undefined) return undefined;
    const content = await cache.openVerified(digest, slabs, isUse);
    if (content !== undefined) return content;
    // Damaged, it is gone now; else it cannot be read just now, which is not the same as not being here.
    if ((await this.#row(digest)) === undefined) return undefined;
    throw new StoreOperationError('failed', `${digest} is stored, but cannot be read`);
  }

  /** The index is asked first, since the cache takes one that fails for a miss; then for a file that has no row yet. */
  async #row(digest: Digest): Promise<unknown> {
    const row = await translated(this.#parts.metadata.blobs.get(digest));
    return row ?? this.#parts.cache.row(digest);
  }

  async #those<T>(
    all: readonly T[],
    isOne: (each: T) => Promise<boolean>,
    signal: AbortSignal,
  ): Promise<readonly T[]> {
    const joined = this.#joined(signal);
    const found: T[] = [];
    for (const [at, each] of all.entries()) {
      if (await isOne(each)) found.push(each);
      if (at % LOOKUPS_AT_ONCE !== LOOKUPS_AT_ONCE - 1) continue;
      await nextTurn();
      joined.throwIfAborted();
    }
    return found;
  }

  async #during<T>(signal: AbortSignal, work: (joined: AbortSignal) => Promise<T>): Promise<T> {
    const joined = this.#joined(signal);
    const end = this.#begun();
    try {
      return await work(joined);
    } finally {
      end();
    }
  }

  /** Something that `close` waits for. @returns what ends it */
  #begun(): () => void {
    const over = deferred<undefined>();
    this.#open.add(over.promise);
    return () => {
      this.#open.delete(over.promise);
      over.resolve(undefined);
    };
  }

  #joined(signal: AbortSignal): AbortSignal {
    const joined = AbortSignal.any([signal, this.#ending.signal]);
    joined.throwIfAborted();
    return joined;
  }
}
