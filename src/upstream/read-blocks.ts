import type { OnReadOpts, Socket } from 'node:net';

/** What one read of a socket brings at most. */
const PLAIN_BYTES = 64 * 1024;
/** A TLS record (RFC 8446 §5.1): a read of a TLS socket never brings more. */
const TLS_BYTES = 16 * 1024;
/** Of either kind, kept for the next reads. What comes back on top is garbage. */
const FREE_LIMIT_BYTES = 4 * 1024 * 1024;

interface Lent {
  readonly length: number;
  readonly keep: () => void;
}

/** Blocks that somebody looks at. */
const lent = new WeakMap<ArrayBufferLike, Lent>();

/**
 * How sockets are read: into memory that is used again and again. Node itself takes new memory for each read, and for
 * every 25 MB or so of it V8 collects all of its heap, which took half as much CPU as moving these bytes did.
 *
 * A chunk goes through undici and streams as if it were anybody's; who has done with it may give it back. What is not
 * given back whole (the head of an answer was in it, or it was cut or joined on its way) is garbage like any other.
 */
function reusingBlocks(blockBytes: number): OnReadOpts {
  const free: Buffer[] = [];
  const keep = (block: Buffer): void => {
    if (free.length * blockBytes < FREE_LIMIT_BYTES) free.push(block);
  };
  /** The bytes of a read, fit to be kept for as long as anybody likes. */
  const chunkOf = (block: Buffer, length: number): Buffer => {
    const bytes = block.subarray(0, length);
    if (length >= blockBytes / 2) {
      lent.set(block.buffer, { length, keep: () => keep(block) });
      return bytes;
    }
    // A little must not hold much memory while it waits.
    const copy = Buffer.from(bytes);
    keep(block);
    return copy;
  };
  return {
    buffer: () => free.pop() ?? Buffer.allocUnsafeSlow(blockBytes),
    callback: function (this: Socket, length: number, block: Uint8Array): boolean {
      return this.push(chunkOf(block as Buffer, length));
    },
  };
}

/** For `net.connect`. */
export const plainReads = reusingBlocks(PLAIN_BYTES);
/** For `tls.connect`. */
export const tlsReads = reusingBlocks(TLS_BYTES);

/** Takes bytes of a body back that nobody looks at any more, to read into them again. Harmless with any others. */
export function giveBack(chunk: Buffer): void {
  const loan = lent.get(chunk.buffer);
  if (loan === undefined || chunk.byteOffset !== 0 || chunk.length !== loan.length) return;
  lent.delete(chunk.buffer);
  loan.keep();
}
