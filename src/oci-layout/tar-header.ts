import { setImmediate as nextTurn } from 'node:timers/promises';
import { extract } from 'tar-stream';
import type { ByteFile } from './byte-file.ts';
import type { EntryHeader } from './entry-register.ts';
import { LayoutError } from './layout-error.ts';

const BLOCK_BYTES = 512;
/** Read at a time: many small files lie close together. */
const WINDOW_BYTES = 32 * 1024;
/** Of words beside a header. More no archive of an image has. */
const HEADER_BYTES_LIMIT = 1024 * 1024;

export interface PlacedHeader extends EntryHeader {
  /** Where its bytes begin. */
  readonly position: number;
}

/**
 * The headers of a tar that can be read anywhere; what lies between them is not read. Each is given to a reader of its
 * own, so that the library's understanding of names and sizes counts here as it does for streams.
 * @throws LayoutError
 */
export async function* tarHeaders(
  name: string,
  file: ByteFile,
  signal: AbortSignal,
): AsyncGenerator<PlacedHeader, void, undefined> {
  const blocks = new Blocks(file);
  for (let position = 0; position + BLOCK_BYTES <= file.sizeBytes;) {
    signal.throwIfAborted();
    if (isEnd(await blocks.at(position))) return;
    const header = await headerAt(name, file, blocks, position);
    yield header;
    const hasBytes = header.type !== 'directory';
    position = header.position + (hasBytes ? Math.ceil(header.size / BLOCK_BYTES) * BLOCK_BYTES : 0);
    if (header.position + (hasBytes ? header.size : 0) > file.sizeBytes)
      throw new LayoutError('damaged', `${name}: it is cut off in the middle of ${header.name}`);
  }
}

class Blocks {
  readonly #file: ByteFile;
  #window = Buffer.alloc(0);
  #start = 0;

  constructor(file: ByteFile) {
    this.#file = file;
  }

  async at(position: number): Promise<Buffer> {
    const offset = position - this.#start;
    if (offset < 0 || offset + BLOCK_BYTES > this.#window.length) {
      this.#window = Buffer.alloc(Math.min(WINDOW_BYTES, this.#file.sizeBytes - position));
      await this.#file.read(this.#window, position);
      this.#start = position;
    }
    const from = position - this.#start;
    return this.#window.subarray(from, from + BLOCK_BYTES);
  }
}

function isEnd(block: Buffer): boolean {
  return block.every((byte) => byte === 0);
}

async function headerAt(name: string, file: ByteFile, blocks: Blocks, start: number): Promise<PlacedHeader> {
  const reader = extract();
  const seen: { header?: PlacedHeader; failure?: unknown } = {};
  reader.on('entry', ({ name: path, type, size, linkname, pax, ...rest }) => {
    const { byteOffset } = rest as { readonly byteOffset?: number };
    seen.header = { name: path, type, size, linkname, pax, position: start + (byteOffset ?? BLOCK_BYTES) };
  });
  reader.on('error', (error) => (seen.failure = error));
  try {
    for (let position = start; ; position += BLOCK_BYTES) {
      if (position - start > HEADER_BYTES_LIMIT)
        throw new LayoutError('too-large', `${name}: the header at byte ${start} has no end`);
      if (position + BLOCK_BYTES > file.sizeBytes)
        throw new LayoutError('damaged', `${name}: it is cut off in the middle of a header`);
      reader.write(Buffer.from(await blocks.at(position)));
      // It is looked at a little later; one block too many does no harm.
      await nextTurn();
      if (seen.header !== undefined) return seen.header;
      if (seen.failure !== undefined) break;
    }
  } finally {
    reader.destroy();
  }
  throw new LayoutError('damaged', `${name}: there is no tar header at byte ${start}`, {
    cause: seen.failure,
  });
}
