import type { Clock } from '../clock.ts';
import type { ContentStore } from '../content/content-store.ts';
import type { MetadataStore } from '../metadata/metadata-store.ts';
import type { Evicted } from '../metrics-store.ts';
import type { Digest } from '../oci/digest.ts';
import {
  type ImagePattern,
  matchesRepository,
  matchesTag,
  parseImagePattern,
  storedImagePattern,
} from '../oci/image-pattern.ts';
import type { NamedUpstream } from '../oci/named-upstream.ts';
import type { BlobCache } from './blob-cache.ts';
import { evictionPlan, evictTo } from './eviction-run.ts';
import { describeImages, listImages } from './image-list.ts';
import type { Pins } from './pins.ts';
import { purge, purgePlan } from './purge.ts';
import type {
  EvictEvent,
  ImageEntry,
  PinChange,
  PinEntry,
  PurgeEvent,
  StoreStatus,
  VerifyEvent,
} from './store-events.ts';
import { StoreOperationError } from './store-operation-error.ts';
import type { ImageSelection, StoreOperations } from './store-operations.ts';
import { statusOf, type StatusSources } from './store-status.ts';
import { translated } from './translated.ts';
import { verifySelection } from './verification-run.ts';

export interface LocalOperationsParts {
  readonly metadata: MetadataStore;
  readonly content: ContentStore;
  readonly cache: BlobCache;
  readonly pins: Pins;
  readonly clock: Clock;
  /** By which the names in pins are read. */
  readonly upstreams: readonly NamedUpstream[];
  readonly sources: StatusSources;
  /** Called for content that is purged; must not throw. */
  readonly onPurged?: ((digest: Digest) => void) | undefined;
  /** A repository holds no more what it held. Must not throw. */
  readonly onHoldingsForgotten?: (() => void) | undefined;
  /** Resolves when nobody gives again what was forgotten. */
  readonly forgottenEverywhere?: (() => Promise<void>) | undefined;
  /** Told of what an operator had evicted; must not throw. */
  readonly onEvicted?: ((evicted: Evicted) => void) | undefined;
}

/** Images counted for a pin; what comes beyond is not. */
const COUNTED_LIMIT = 10_000;

/** Operations on the store that is open in this process. */
export class LocalOperations implements StoreOperations {
  readonly #parts: LocalOperationsParts;
  readonly #ending = new AbortController();
  readonly #running = new Set<Promise<void>>();

  constructor(parts: LocalOperationsParts) {
    this.#parts = parts;
  }

  status(signal: AbortSignal): Promise<StoreStatus> {
    return this.#one(signal, () => statusOf(this.#parts));
  }

  images(selection: ImageSelection, signal: AbortSignal): AsyncIterable<ImageEntry> {
    return this.#many(signal, (joined) => describeImages(this.#parts, selection, joined));
  }

  purge(
    selection: ImageSelection,
    { dryRun }: { readonly dryRun: boolean },
    signal: AbortSignal,
  ): AsyncIterable<PurgeEvent> {
    const { metadata, cache, pins, onPurged, onHoldingsForgotten, forgottenEverywhere } = this.#parts;
    const parts = {
      metadata,
      pins,
      remove: (digest: Digest) => cache.remove(digest),
      forget: (digest: Digest) => onPurged?.(digest),
      holdingsForgotten: () => onHoldingsForgotten?.(),
      forgottenEverywhere: async () => forgottenEverywhere?.(),
    };
    return this.#many(signal, (joined) =>
      dryRun ? purgePlan(parts, selection, joined) : purge(parts, selection, joined),
    );
  }

  verify(selection: ImageSelection, signal: AbortSignal): AsyncIterable<VerifyEvent> {
    return this.#many(signal, (joined) => verifySelection(this.#parts, selection, joined));
  }

  evict(
    { toBytes, dryRun }: { readonly toBytes: number; readonly dryRun: boolean },
    signal: AbortSignal,
  ): AsyncIterable<EvictEvent> {
    const { metadata, content, cache, pins, clock, onEvicted } = this.#parts;
    const parts = {
      metadata,
      pins,
      clock,
      onEvicted,
      storedBytes: () => cache.usage.storedBytes,
      allocatedBytes: (sizeBytes: number) => content.allocatedBytes(sizeBytes),
      writeUses: () => cache.writeUses(),
      evict: (digest: Digest) => cache.evict(digest),
    };
    return this.#many(signal, (joined) =>
      dryRun ? evictionPlan(parts, toBytes, joined) : evictTo(parts, toBytes, joined),
    );
  }

  pin(text: string, signal: AbortSignal): Promise<PinChange> {
    return this.#one(signal, async (joined) => {
      const pattern = this.#patternOf(text);
      const changed = await this.#parts.metadata.images.addPin(pattern.text);
      return this.#changeOf(pattern, changed, joined);
    });
  }

  unpin(text: string, signal: AbortSignal): Promise<PinChange> {
    return this.#one(signal, async (joined) => {
      const { images } = this.#parts.metadata;
      // One that is there is taken away as it stands, also when its upstream is configured no longer.
      const stored = storedImagePattern(text);
      const isStored = stored !== undefined && (await images.removePin(stored.text));
      const pattern = isStored ? stored : this.#patternOf(text);
      const changed = isStored || (await images.removePin(pattern.text));
      return this.#changeOf(pattern, changed, joined);
    });
  }

  pins(signal: AbortSignal): Promise<readonly PinEntry[]> {
    return this.#one(signal, async () =>
      (await this.#parts.pins.patterns()).map(({ pattern, isConfigured }) => ({
        pattern: pattern.text,
        source: isConfigured ? 'configuration' : 'command',
      })),
    );
  }

  /** Ends what goes on, and waits for it. */
  async close(): Promise<void> {
    this.#ending.abort(new StoreOperationError('failed', 'entrepot is shutting down'));
    await Promise.all(this.#running);
  }

  #patternOf(text: string): ImagePattern {
    const pattern = parseImagePattern(text, this.#parts.upstreams);
    if ('problem' in pattern) throw new StoreOperationError('invalid', `${text}: ${pattern.problem}`);
    return pattern;
  }

  async #changeOf(pattern: ImagePattern, changed: boolean, signal: AbortSignal): Promise<PinChange> {
    const { pins, metadata } = this.#parts;
    await pins.refresh();
    const others = (await pins.patterns()).filter(({ pattern: { text } }) => text === pattern.text);
    return {
      pattern: pattern.text,
      changed,
      images: await countImages(metadata, pattern, signal),
      stillPinnedBy: others.filter(({ isConfigured }) => isConfigured).map((other) => other.pattern.text),
    };
  }

  async #one<T>(signal: AbortSignal, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const joined = AbortSignal.any([signal, this.#ending.signal]);
    joined.throwIfAborted();
    const result = translated(work(joined));
    await this.#during(result);
    return result;
  }

  async *#many<T>(
    signal: AbortSignal,
    work: (signal: AbortSignal) => AsyncIterable<T>,
  ): AsyncGenerator<T, void, undefined> {
    const joined = AbortSignal.any([signal, this.#ending.signal]);
    joined.throwIfAborted();
    const steps = work(joined)[Symbol.asyncIterator]();
    try {
      for (;;) {
        const step = translated(steps.next());
        await this.#during(step);
        const { done, value } = await step;
        if (done === true) return;
        yield value;
      }
    } finally {
      // Whoever takes no more of it ends it.
      await steps.return?.();
    }
  }

  /** `close` waits for work that is on its way, but not for one who takes no more of it. */
  async #during(work: Promise<unknown>): Promise<void> {
    const over = work.then(
      () => undefined,
      () => undefined,
    );
    this.#running.add(over);
    await over;
    this.#running.delete(over);
  }
}

/** Of what a pattern names, how many are here. */
async function countImages(
  metadata: MetadataStore,
  pattern: ImagePattern,
  signal: AbortSignal,
): Promise<number> {
  let count = 0;
  try {
    for await (const image of listImages(metadata, { upstream: pattern.upstream }, signal)) {
      if (!matchesRepository(pattern, image)) continue;
      const isMeant =
        pattern.digest === undefined
          ? pattern.tag === undefined || image.tags.some((tag) => matchesTag(pattern, tag))
          : pattern.digest === image.digest;
      if (isMeant) count += 1;
      if (count === COUNTED_LIMIT) break;
    }
  } catch (error) {
    if (!(error instanceof StoreOperationError) || error.reason !== 'not-found') throw error;
  }
  return count;
}
