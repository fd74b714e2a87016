/** Bytes of a known size that can be read anywhere, without being in memory as a whole. */
export interface ByteSource {
  readonly size: number;
  /** At least one and at most `max` bytes from `position` on; `position` must be below `size`. Not to be changed. */
  at(position: number, max: number): Uint8Array;
}

/** A source over bytes at hand. */
export function bytesSource(bytes: Uint8Array): ByteSource {
  return { size: bytes.length, at: (position, max) => bytes.subarray(position, position + max) };
}

/** The bytes from `start` to `end` (exclusive), in pieces of at most 1 MiB. */
export function* sourcePieces(source: ByteSource, start = 0, end = source.size): Generator<Uint8Array> {
  for (let position = start; position < end;) {
    const piece = source.at(position, Math.min(1024 * 1024, end - position));
    yield piece;
    position += piece.length;
  }
}

/** All of it in one buffer. For small ones. */
export function sourceBytes(source: ByteSource): Buffer {
  return Buffer.concat([...sourcePieces(source)]);
}
