import { setImmediate as nextTurn } from 'node:timers/promises';
import { pack } from 'tar-stream';
import type { ByteSink, WrittenFile } from './byte-sink.ts';
import type { LayoutFile, LayoutSink } from './layout-sink.ts';

const BLOCK_BYTES = 512;
/** Two blocks of zeros end an archive. */
const END = Buffer.alloc(2 * BLOCK_BYTES);
const MODE = 0o644;

/**
 * A layout as a tar. Headers are the library's (long names, sizes beyond 8 GiB); bodies go to the sink as they come, so
 * that no queue copies them. Equal files in equal order give equal bytes: times are 0.
 */
export class TarLayout implements LayoutSink {
  readonly #sink: ByteSink;

  /** Takes the sink over. */
  constructor(sink: ByteSink) {
    this.#sink = sink;
  }

  async add(file: LayoutFile, body: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): Promise<void> {
    await this.#sink.write(await headerOf(file));
    let length = 0;
    for await (const chunk of body) {
      length += chunk.length;
      if (length > file.sizeBytes) break;
      await this.#sink.write(chunk);
    }
    if (length !== file.sizeBytes) throw new Error(`${file.name} has another length than was announced`);
    const over = length % BLOCK_BYTES;
    if (over > 0) await this.#sink.write(END.subarray(0, BLOCK_BYTES - over));
  }

  async finish(): Promise<readonly WrittenFile[]> {
    await this.#sink.write(END);
    return this.#sink.finish();
  }

  abandon(): Promise<void> {
    return this.#sink.abandon();
  }
}

/** What a tar takes of a file of this size, for names that need no more than one block. */
export function tarBytes(sizeBytes: number): number {
  return BLOCK_BYTES + Math.ceil(sizeBytes / BLOCK_BYTES) * BLOCK_BYTES;
}

async function headerOf({ name, sizeBytes }: LayoutFile): Promise<Buffer> {
  const packer = pack();
  const chunks: Uint8Array[] = [];
  let failure: Error | undefined;
  const written = new Promise<void>((resolve) => {
    packer.on('data', (chunk) => {
      if (chunk instanceof Uint8Array) chunks.push(chunk);
      resolve();
    });
    packer.on('error', (error: Error) => {
      failure ??= error;
      resolve();
    });
  });
  const entry = packer.entry({ name, size: sizeBytes, mode: MODE, mtime: new Date(0), type: 'file' });
  // It is never given the bytes that it waits for.
  entry.on('error', () => undefined);
  await written;
  await nextTurn();
  packer.destroy();
  if (failure !== undefined || chunks.length === 0)
    throw new Error(`${name} cannot be put into a tar`, { cause: failure });
  return Buffer.concat(chunks);
}
