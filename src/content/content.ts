import type { RestingFile } from './resting-file.ts';

/** Bytes lent to a reader. They stay as they are until `release`, which must be called exactly once. */
export interface Chunk {
  readonly bytes: Uint8Array;
  release(): void;
}

/**
 * Bytes of one blob that can be read at any position, at rest or still on their way: a reader cannot tell which.
 * One reader, one `Content`: `read` is not called again before the last call has settled.
 */
export interface Content {
  readonly sizeBytes: number;

  /**
   * At least one and at most `limitBytes` bytes from `position`, which must lie within the size. Waits for bytes that
   * are on their way. Fails with ContentError (at rest) or with what ended the fill (in flight); a file that turns out
   * shorter than `sizeBytes` is an error, never a short read.
   */
  read(position: number, limitBytes: number, signal: AbortSignal): Promise<Chunk>;

  /**
   * Where the bytes lie, when they are at rest and nothing is to be done to them on their way: whoever asks reads them
   * for himself, and has this open meanwhile. Absent, and `undefined`: they can only be had by `read`.
   */
  atRest?(): RestingFile | undefined;

  /** Whoever asked `atRest` read these for himself and gave them out. Absent: it makes no difference. */
  gave?(start: number, end: number): void;

  /** Must be called once, whatever happened. Chunks that are still lent stay valid. */
  close(): void;
}
