import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Clock } from '../clock.ts';
import type { StoredBlob, StoredBlobs } from '../metadata/stored-blobs.ts';
import type { Digest } from '../oci/digest.ts';
import type { Evicted } from '../metrics-store.ts';
import type { Pins } from './pins.ts';
import { Rounds } from './rounds.ts';

export interface ExpiryParts {
  readonly blobs: Pick<StoredBlobs, 'page' | 'isPinned'>;
  readonly clock: Clock;
  /** Absent: nothing is given up for its age. */
  readonly maxAgeMs: number | undefined;
  readonly evict: (digest: Digest) => Promise<StoredBlob | undefined>;
  readonly writeUses: () => Promise<void>;
  /** Absent: what the index says is pinned is all there is. */
  readonly pins?: Pick<Pins, 'refresh'> | undefined;
  /** False while nothing may be removed. */
  readonly canEvict: () => boolean;
  readonly onEvicted: (evicted: Evicted) => void;
  readonly onFailure: (cause: unknown) => void;
}

/** Rows looked at in one turn of the event loop. */
const SLICE = 250;
const INTERVAL_LIMIT_MS = 3_600_000;

/** Gives up what nobody has used for so long, but for what is pinned: looks through all rows every so often. */
export class Expiry {
  readonly #parts: ExpiryParts;
  #maxAgeMs: number | undefined;
  #rounds: Rounds | undefined;
  /** Of rounds by an age that was configured before. */
  #ending: Promise<unknown> = Promise.resolve();
  #hasBegun = false;

  constructor(parts: ExpiryParts) {
    this.#parts = parts;
    this.#maxAgeMs = parts.maxAgeMs;
  }

  begin(): void {
    this.#hasBegun = true;
    const maxAgeMs = this.#maxAgeMs;
    if (maxAgeMs === undefined) return;
    const intervalMs = Math.min(maxAgeMs / 10, INTERVAL_LIMIT_MS);
    this.#rounds ??= new Rounds(this.#parts.clock, intervalMs, (signal) => this.#sweep(maxAgeMs, signal));
    this.#rounds.begin();
  }

  /** From now on; the first round by it comes after its interval. */
  configure(maxAgeMs: number | undefined): void {
    if (maxAgeMs === this.#maxAgeMs) return;
    this.#maxAgeMs = maxAgeMs;
    this.#ending = Promise.all([this.#ending, this.#rounds?.close()]);
    this.#rounds = undefined;
    if (this.#hasBegun) this.begin();
  }

  async close(): Promise<void> {
    this.#hasBegun = false;
    await Promise.all([this.#ending, this.#rounds?.close()]);
  }

  /** Ends early when something cannot be done: there is a next time. */
  async #sweep(maxAgeMs: number, signal: AbortSignal): Promise<void> {
    const { blobs, clock, writeUses, onFailure } = this.#parts;
    await writeUses();
    try {
      for (let after: number | undefined = 0; after !== undefined;) {
        if (signal.aborted || !this.#parts.canEvict()) return;
        const page = await blobs.page(after, SLICE);
        await this.#give(page.blobs.filter(({ usedAt }) => clock.now() - usedAt > maxAgeMs));
        after = page.next;
        await nextTurn();
      }
    } catch (cause) {
      onFailure(cause);
    }
  }

  async #give(expired: readonly StoredBlob[]): Promise<void> {
    const { blobs, evict, pins, onEvicted } = this.#parts;
    const now = this.#parts.clock.now();
    const agesMs: number[] = [];
    let bytes = 0;
    for (const { digest } of expired) {
      // Free while nothing changed; a pull may have made it part of a pinned image.
      await pins?.refresh();
      if (await blobs.isPinned(digest)) continue;
      const row = await evict(digest);
      if (row === undefined) continue;
      agesMs.push(now - row.usedAt);
      bytes += row.sizeBytes;
    }
    if (agesMs.length > 0) onEvicted({ blobs: agesMs.length, bytes, reason: 'age', agesMs });
  }
}
