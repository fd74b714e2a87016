import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { LayoutError, layoutErrorFrom } from './layout-error.ts';

/** Bytes at rest that can be read at any position, in one file or several. Calls may overlap. */
export interface ByteFile {
  readonly sizeBytes: number;
  /** Fills `into` from `position`. @throws LayoutError `damaged` when there are not so many bytes there; `unreadable` */
  read(into: Uint8Array, position: number): Promise<void>;
  close(): Promise<void>;
}

/** A pipe that nobody writes to would be waited for, for ever. */
const READING = constants.O_RDONLY | constants.O_NONBLOCK;
/** What is read at a time. */
const CHUNK_BYTES = 1024 * 1024;

/**
 * Opens a file, or several that are one, cut into pieces.
 * @param name as the user knows it, for errors
 * @throws LayoutError
 */
export async function openByteFile(name: string, paths: readonly string[]): Promise<ByteFile> {
  const pieces: Piece[] = [];
  let sizeBytes = 0;
  try {
    for (const path of paths) {
      const handle = await open(path, READING).catch((cause: unknown) => {
        throw layoutErrorFrom(cause, paths.length === 1 ? name : path);
      });
      const piece = { handle, path, start: sizeBytes, end: sizeBytes };
      pieces.push(piece);
      const found = await handle.stat();
      if (!found.isFile()) throw new LayoutError('unknown', `${path}: is neither a file nor a directory`);
      sizeBytes += found.size;
      piece.end = sizeBytes;
    }
  } catch (cause) {
    await closeAll(pieces);
    throw layoutErrorFrom(cause, name);
  }
  return {
    sizeBytes,
    read: async (into, position) => {
      let done = 0;
      for (const { handle, path, start, end } of pieces) {
        const length = Math.min(into.length - done, end - position - done);
        if (length <= 0) continue;
        await readPiece(handle, path, into.subarray(done, done + length), position + done - start);
        done += length;
        if (done === into.length) return;
      }
      if (done < into.length)
        throw new LayoutError('damaged', `${name}: it ends before what it says it holds`);
    },
    close: () => closeAll(pieces),
  };
}

/**
 * A stretch of it in order. Each chunk may be used until the next one is asked for: its memory is used again.
 * @throws LayoutError
 */
export async function* stretchOf(
  file: ByteFile,
  position: number,
  sizeBytes: number,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array, void, undefined> {
  const length = Math.min(sizeBytes, CHUNK_BYTES);
  const buffers = [Buffer.allocUnsafeSlow(length), Buffer.allocUnsafeSlow(length)];
  const readAt = (done: number, buffer: Buffer): Promise<Uint8Array> => {
    const chunk = buffer.subarray(0, Math.min(buffer.length, sizeBytes - done));
    const reading = file.read(chunk, position + done).then(() => chunk);
    // Whoever asked may have left by the time it fails.
    reading.catch(() => undefined);
    return reading;
  };
  const [first, second] = buffers;
  if (first === undefined || second === undefined || sizeBytes === 0) return;
  let [current, other] = [first, second];
  let next: Promise<Uint8Array> | undefined = readAt(0, current);
  for (let done = 0; next !== undefined;) {
    const chunk: Uint8Array = await next;
    signal.throwIfAborted();
    done += chunk.length;
    // While one is used, the next is read.
    [current, other] = [other, current];
    next = done < sizeBytes ? readAt(done, current) : undefined;
    yield chunk;
  }
}

interface Piece {
  readonly handle: FileHandle;
  readonly path: string;
  readonly start: number;
  end: number;
}

async function readPiece(handle: FileHandle, path: string, into: Uint8Array, at: number): Promise<void> {
  for (let done = 0; done < into.length;) {
    const { bytesRead } = await handle
      .read(into, done, into.length - done, at + done)
      .catch((cause: unknown) => {
        throw layoutErrorFrom(cause, path);
      });
    if (bytesRead === 0) throw new LayoutError('damaged', `${path}: became shorter while it was read`);
    done += bytesRead;
  }
}

async function closeAll(pieces: readonly Piece[]): Promise<void> {
  for (const { handle } of pieces) await handle.close().catch(() => undefined);
}

/**
 * A stretch that is read whole.
 * @param what named in the message: the file, and the entry
 * @throws LayoutError `too-large` when it has more than `limitBytes`
 */
export async function readWithin(
  file: ByteFile,
  { position, sizeBytes }: { readonly position: number; readonly sizeBytes: number },
  limitBytes: number,
  what: string,
): Promise<Buffer> {
  if (sizeBytes > limitBytes) throw new LayoutError('too-large', `${what} has more than ${limitBytes} bytes`);
  const bytes = Buffer.alloc(sizeBytes);
  await file.read(bytes, position);
  return bytes;
}
