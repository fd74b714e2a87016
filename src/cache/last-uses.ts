import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Clock } from '../clock.ts';
import type { StoredBlobs } from '../metadata/stored-blobs.ts';
import type { Digest } from '../oci/digest.ts';

/** Uses are gathered this long, or until there are so many. */
const INTERVAL_MS = 5000;
const GATHERED_LIMIT = 10_000;

/** Uses in one transaction: the use of an index is one of its whole image, so there may be many rows to each. */
const BATCH_LIMIT = 100;
/** A transaction that held the event loop for longer than this is followed by one of half as many uses. */
const BATCH_MS = 4;

export interface LastUsesParts {
  readonly blobs: Pick<StoredBlobs, 'touch'>;
  readonly clock: Clock;
  /** What could not be written down is forgotten, and said once for each time. */
  readonly onFailure: (cause: unknown) => void;
}

/**
 * When blobs were last used: gathered in memory and written in small batches, each a turn of the event loop of its own.
 * Losing some is harmless: they only order what is given up first.
 */
export class LastUses {
  readonly #parts: LastUsesParts;
  readonly #ending = new AbortController();
  #gathered = new Map<Digest, number>();
  #waiting: Promise<void> | undefined;
  #writing: Promise<void> = Promise.resolve();
  #batch = BATCH_LIMIT;

  constructor(parts: LastUsesParts) {
    this.#parts = parts;
  }

  /** Counts a use, now. */
  add(digest: Digest): void {
    if (this.#gathered.size >= GATHERED_LIMIT && !this.#gathered.has(digest)) return;
    this.#gathered.set(digest, this.#parts.clock.now());
    if (this.#gathered.size === GATHERED_LIMIT) void this.write();
    else this.#waiting ??= this.#writeLater();
  }

  /** Of what is stored no longer. */
  forget(digest: Digest): void {
    this.#gathered.delete(digest);
  }

  /** Writes down what was gathered so far. Never fails. */
  write(): Promise<void> {
    this.#writing = this.#writing.then(() => this.#writeAll());
    return this.#writing;
  }

  /** Writes down what is left; nothing may be added any more. */
  async close(): Promise<void> {
    this.#ending.abort();
    await this.#waiting;
    await this.write();
  }

  async #writeLater(): Promise<void> {
    await this.#parts.clock.sleep(INTERVAL_MS, this.#ending.signal).catch(() => undefined);
    this.#waiting = undefined;
    await this.write();
  }

  async #writeAll(): Promise<void> {
    if (this.#gathered.size === 0) return;
    const uses = [...this.#gathered];
    this.#gathered = new Map();
    for (let done = 0; done < uses.length;) {
      if (done > 0) await nextTurn();
      const batch = uses.slice(done, done + this.#batch);
      done += batch.length;
      if (!(await this.#writeBatch(new Map(batch)))) return;
    }
  }

  async #writeBatch(uses: ReadonlyMap<Digest, number>): Promise<boolean> {
    const { blobs, clock, onFailure } = this.#parts;
    const begun = clock.monotonic();
    try {
      await blobs.touch(uses);
    } catch (cause) {
      onFailure(cause);
      return false;
    }
    const took = clock.monotonic() - begun;
    if (took > BATCH_MS) this.#batch = Math.max(1, Math.floor(this.#batch / 2));
    else if (took < BATCH_MS / 2) this.#batch = Math.min(BATCH_LIMIT, this.#batch * 2);
    return true;
  }
}
