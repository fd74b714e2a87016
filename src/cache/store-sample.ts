import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Clock } from '../clock.ts';
import type { ContentStore } from '../content/content-store.ts';
import type { StoredBlobs } from '../metadata/stored-blobs.ts';
import type { Pins } from './pins.ts';

/** What of the store takes some time to find out. Absent: not known yet. Bytes, and milliseconds since 1970. */
export interface StoreSample {
  readonly pinnedBytes?: number | undefined;
  readonly diskFreeBytes?: number | undefined;
  /** Of the blob that nobody used for longest; absent too when nothing is stored. */
  readonly oldestUseAt?: number | undefined;
  readonly indexBytes?: number | undefined;
  readonly walBytes?: number | undefined;
}

export interface StoreSamplerParts {
  readonly blobs: Pick<StoredBlobs, 'oldestUse'>;
  readonly content: Pick<ContentStore, 'space'>;
  readonly pins: Pick<Pins, 'refresh' | 'totals'>;
  readonly clock: Pick<Clock, 'monotonic'>;
  /** Of the index's files. */
  readonly indexFiles: () => Promise<{ readonly bytes: number; readonly walBytes: number }>;
}

const INTERVAL_MS = 15_000;
/** Looking up what is pinned may take long where much is, and is pulled. */
const PINS_INTERVAL_MS = 60_000;
/** Rows in one turn of the event loop, and in one sample: a million are looked through in five minutes. */
const SLICE = 1000;
const SLICES = 50;

/**
 * Figures that whoever shows them must not wait for: found out in the background, in slices, when somebody looks and the
 * last are older than 15 s. Nobody looks: nothing is done.
 */
export class StoreSampler {
  readonly #parts: StoreSamplerParts;
  readonly #ending = new AbortController();
  #sample: StoreSample = {};
  #sampledAt = -Infinity;
  #pinsAt = -Infinity;
  #running: Promise<void> | undefined;
  /** Where in the rows it is, and the oldest use from the first of them to there. */
  #after = 0;
  #oldestSoFar: number | undefined;

  constructor(parts: StoreSamplerParts) {
    this.#parts = parts;
  }

  /** The last figures, at once. */
  get last(): StoreSample {
    const now = this.#parts.clock.monotonic();
    if (this.#running === undefined && !this.#ending.signal.aborted && now - this.#sampledAt >= INTERVAL_MS) {
      this.#sampledAt = now;
      this.#running = this.#take().finally(() => (this.#running = undefined));
    }
    return this.#sample;
  }

  /** Waits for what is being found out. */
  async close(): Promise<void> {
    this.#ending.abort();
    await this.#running;
  }

  /** Each by itself: what cannot be had now keeps its last value, and is told of by whoever needs it. */
  async #take(): Promise<void> {
    await this.#attempt(async () => {
      const { bytes, walBytes } = await this.#parts.indexFiles();
      return { indexBytes: bytes, walBytes };
    });
    await this.#attempt(async () => ({ diskFreeBytes: (await this.#parts.content.space()).freeBytes }));
    await this.#attempt(() => this.#pinned());
    await this.#attempt(() => this.#oldest());
  }

  async #attempt(find: () => Promise<StoreSample>): Promise<void> {
    if (this.#ending.signal.aborted) return;
    try {
      const found = await find();
      this.#sample = { ...this.#sample, ...found };
    } catch {
      // See above.
    }
  }

  async #pinned(): Promise<StoreSample> {
    const { pins, clock } = this.#parts;
    const now = clock.monotonic();
    if (now - this.#pinsAt < PINS_INTERVAL_MS) return {};
    this.#pinsAt = now;
    await pins.refresh();
    return { pinnedBytes: pins.totals.bytes };
  }

  async #oldest(): Promise<StoreSample> {
    for (let slice = 0; slice < SLICES && !this.#ending.signal.aborted; slice += 1) {
      const { usedAt, next } = await this.#parts.blobs.oldestUse(this.#after, SLICE);
      if (usedAt !== undefined) this.#oldestSoFar = Math.min(this.#oldestSoFar ?? Infinity, usedAt);
      if (next === undefined) {
        const oldestUseAt = this.#oldestSoFar;
        this.#after = 0;
        this.#oldestSoFar = undefined;
        return { oldestUseAt };
      }
      this.#after = next;
      await nextTurn();
    }
    return {};
  }
}
