import { randomBytes } from 'node:crypto';
import type { Chunk, Content } from '../content/content.ts';
import type { Interval } from '../content/intervals.ts';
import { newcomers } from '../newcomers.ts';

/** Fewer, larger pieces cost less; but while many bodies are sent, each waits for the pieces of all others. */
const LARGE_PIECE_BYTES = 1024 * 1024;
const MIDDLE_PIECE_BYTES = 512 * 1024;
const SMALL_PIECE_BYTES = 256 * 1024;
/** Among more bodies than these there is always one whose bytes are there: reading ahead would take memory for nothing. */
const AHEAD_BODIES_LIMIT = 16;

/** Takes a body, piece by piece: an exchange, for one. */
export interface BodyTaker {
  /** Aborts when nobody takes it any more. */
  readonly signal: AbortSignal;
  /** Resolves when the bytes have left. @throws when they cannot */
  write(bytes: Uint8Array): Promise<void>;
}

/** Bodies that this process is sending. */
let sending = 0;

function pieceBytes(): number {
  if (sending <= 4) return LARGE_PIECE_BYTES;
  return sending <= 16 ? MIDDLE_PIECE_BYTES : SMALL_PIECE_BYTES;
}

/**
 * Sends stretches of content, where they are few one read ahead of the connection. The head is not sent before the first bytes are there:
 * what fails until then can still be answered properly.
 */
export async function sendStretch(
  exchange: BodyTaker,
  content: Content,
  { start, end }: Interval,
  sendHead: () => void,
): Promise<void> {
  let writing: Promise<void> | undefined;
  sending += 1;
  try {
    const read = (from: number): Promise<Chunk> => {
      const bytes = content.read(from, Math.min(pieceBytes(), end - from), exchange.signal);
      // Awaited in a later turn; until then a failure must not count as unhandled.
      bytes.catch(() => undefined);
      return bytes;
    };
    let position = start;
    let reading = position < end ? read(position) : undefined;
    while (reading !== undefined) {
      const chunk = await reading;
      position += chunk.bytes.length;
      try {
        if (writing === undefined) sendHead();
        await writing;
      } catch (error) {
        chunk.release();
        throw error;
      }
      // Before the write: a connection that has room takes all of it within the call, and the disk is read meanwhile.
      reading = position < end && sending <= AHEAD_BODIES_LIMIT ? read(position) : undefined;
      writing = writeAndRelease(exchange, chunk);
      writing.catch(() => undefined);
      // Bytes in memory and a connection that takes them at once would never let anybody else have a turn.
      await newcomers.turnWithout();
      if (reading === undefined && position < end) {
        await writing;
        reading = read(position);
      }
    }
    if (writing === undefined) sendHead();
  } finally {
    sending -= 1;
    await writing;
  }
}

async function writeAndRelease(exchange: BodyTaker, chunk: Chunk): Promise<void> {
  try {
    await exchange.write(chunk.bytes);
  } finally {
    chunk.release();
  }
}

/** The frame of a `multipart/byteranges` body (RFC 9110 §14.6), computed beforehand so that its length is known. */
export class MultipartFrame {
  readonly contentType: string;
  readonly parts: readonly { readonly range: Interval; readonly head: Buffer }[];
  readonly tail: Buffer;
  readonly length: number;

  constructor(ranges: readonly Interval[], sizeBytes: number) {
    const boundary = randomBytes(16).toString('hex');
    this.contentType = `multipart/byteranges; boundary=${boundary}`;
    this.parts = ranges.map((range, at) => ({
      range,
      head: Buffer.from(
        `${at === 0 ? '' : '\r\n'}--${boundary}\r\nContent-Type: application/octet-stream\r\n` +
          `Content-Range: ${contentRange(range, sizeBytes)}\r\n\r\n`,
      ),
    }));
    this.tail = Buffer.from(`\r\n--${boundary}--\r\n`);
    const sizes = this.parts.map(({ range, head }) => head.length + range.end - range.start);
    this.length = sizes.reduce((sum, size) => sum + size, this.tail.length);
  }
}

export function contentRange({ start, end }: Interval, sizeBytes: number): string {
  return `bytes ${start}-${end - 1}/${sizeBytes}`;
}
