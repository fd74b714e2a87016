import type { Chunk, Content } from '../content/content.ts';
import { ContentError } from '../content/content-error.ts';
import { type Interval, Intervals } from '../content/intervals.ts';
import type { RestingFile } from '../content/resting-file.ts';

/** What a reader of stored content wants, and will read in this order. */
export type Stretches = 'whole' | readonly Interval[];

/** The same content from elsewhere, at the same positions: what was stored is bad. */
export type Refetch = (wanted: Stretches, signal: AbortSignal) => Promise<Content>;

/** What is compared at a time. */
const COMPARED_BYTES = 256 * 1024;

/**
 * Stored content whose file may turn out bad in the middle of an answer. The answer then goes on, where it stopped, from
 * a fetch of the same blob. What was given out before came from a file that is known to be bad now: it is read once more
 * and compared with what is fetched, and until it was found right the last bytes are not given out. Nothing is kept for
 * that while all goes well; so what can no longer be read from the file counts as wrong.
 */
export class RepairedContent implements Content {
  readonly sizeBytes: number;
  readonly #stored: Content;
  readonly #wanted: Stretches;
  readonly #refetch: Refetch;
  readonly #given = new Intervals();
  readonly #ending = new AbortController();
  #fetched: Content | undefined;
  #comparison: Promise<void> = Promise.resolve();

  /** Takes `stored` over. @param refetch called twice at most, at the same time, of one broken read */
  constructor(stored: Content, wanted: Stretches, refetch: Refetch) {
    this.sizeBytes = stored.sizeBytes;
    this.#stored = stored;
    this.#wanted = wanted;
    this.#refetch = refetch;
  }

  async read(position: number, limitBytes: number, signal: AbortSignal): Promise<Chunk> {
    if (this.#fetched === undefined) {
      try {
        const chunk = await this.#stored.read(position, limitBytes, signal);
        this.#given.add(position, position + chunk.bytes.length);
        return chunk;
      } catch (cause) {
        if (!(cause instanceof ContentError)) throw cause;
        await this.#switch(position, signal);
      }
    }
    return this.#readFetched(position, limitBytes, signal);
  }

  atRest(): RestingFile | undefined {
    return this.#stored.atRest?.();
  }

  gave(start: number, end: number): void {
    if (start < end) this.#given.add(start, end);
  }

  close(): void {
    this.#ending.abort(new ContentError('io', 'the reader has left'));
    this.#fetched?.close();
    // The comparison still reads the file; it ends at its next step.
    void this.#comparison.catch(() => undefined).then(() => this.#stored.close());
  }

  async #readFetched(position: number, limitBytes: number, signal: AbortSignal): Promise<Chunk> {
    if (this.#fetched === undefined) throw new ContentError('io', 'there is nothing to go on from');
    const chunk = await this.#fetched.read(position, limitBytes, signal);
    if (position + chunk.bytes.length < this.#end) return chunk;
    try {
      await this.#comparison;
      return chunk;
    } catch (error) {
      chunk.release();
      throw error;
    }
  }

  /** Where the last byte that is wanted ends. */
  get #end(): number {
    return this.#wanted === 'whole' ? this.sizeBytes : (this.#wanted.at(-1)?.end ?? 0);
  }

  async #switch(position: number, signal: AbortSignal): Promise<void> {
    const given = this.#given.list;
    const toCompare = given.length === 0 ? [] : [this.#opened(given, signal)];
    const opened = await Promise.allSettled([this.#opened(this.#from(position), signal), ...toCompare]);
    const [rest, before] = opened.map((result) => (result.status === 'fulfilled' ? result.value : undefined));
    const failed = opened.find((result) => result.status === 'rejected');
    if (rest === undefined || failed !== undefined) {
      rest?.close();
      before?.close();
      throw failed?.reason ?? new ContentError('missing', 'there is nothing to go on from');
    }
    this.#fetched = rest;
    if (before === undefined) return;
    this.#comparison = this.#compare(before, given).finally(() => before.close());
    // It is awaited before the last bytes; until then a failure must not count as unhandled.
    this.#comparison.catch(() => undefined);
  }

  async #opened(wanted: Stretches, signal: AbortSignal): Promise<Content> {
    const content = await this.#refetch(this.#wanted === 'whole' ? 'whole' : wanted, signal);
    if (content.sizeBytes === this.sizeBytes) return content;
    content.close();
    throw new ContentError('damaged', 'what was fetched has another size than what was stored');
  }

  /** What is still wanted from `position` on: in the stretch that holds it, and in those after that. */
  #from(position: number): Stretches {
    if (this.#wanted === 'whole') return 'whole';
    const at = this.#wanted.findIndex(({ start, end }) => start <= position && position < end);
    return this.#wanted.slice(Math.max(0, at)).map(({ start, end }, index) => ({
      start: index === 0 && at >= 0 ? position : start,
      end,
    }));
  }

  async #compare(fetched: Content, given: readonly Interval[]): Promise<void> {
    const { signal } = this.#ending;
    for (const { start, end } of given) {
      for (let position = start; position < end;) {
        const right = await fetched.read(position, Math.min(COMPARED_BYTES, end - position), signal);
        try {
          await this.#compareChunk(right.bytes, position, signal);
        } finally {
          right.release();
        }
        position += right.bytes.length;
      }
    }
  }

  async #compareChunk(right: Uint8Array, position: number, signal: AbortSignal): Promise<void> {
    for (let done = 0; done < right.length;) {
      const chunk = await this.#stored.read(position + done, right.length - done, signal);
      const isSame = Buffer.compare(chunk.bytes, right.subarray(done, done + chunk.bytes.length)) === 0;
      done += chunk.bytes.length;
      chunk.release();
      if (!isSame) throw new ContentError('damaged', 'what was sent before is not what the blob holds');
    }
  }
}
