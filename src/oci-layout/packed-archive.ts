import { type Duplex, pipeline, Readable } from 'node:stream';
import { extract } from 'tar-stream';
import { type ByteFile, stretchOf } from './byte-file.ts';
import { EntryRegister } from './entry-register.ts';
import type { ArchiveBody, ImageArchive } from './image-archive.ts';
import { LayoutError } from './layout-error.ts';

export interface PackedFile {
  readonly name: string;
  readonly file: ByteFile;
  readonly modifiedAt: number;
  /** A new decompressor. */
  readonly unpack: () => Duplex;
}

/** Of what may be JSON, kept from the first pass: manifests of some thousands of images. */
const KEPT_BYTES_LIMIT = 96 * 1024 * 1024;
const KEPT_ENTRY_LIMIT = 64 * 1024 * 1024;
/** Layers are compressed already, or were made of files: what grows like this was made to fill a disk. */
const GROWTH_LIMIT = 250;
const GROWTH_FREE_BYTES = 1024 * 1024 * 1024;
/** What lies beside the blobs and is as small as a signature. */
const DOCUMENT_BYTES = 4096;
const OPENING_BRACE = 0x7b;
const OPENING_BRACKET = 0x5b;

/**
 * A tar that is compressed as a whole: read once to know what is in it, and once more for its bodies. Takes the file
 * over.
 * @throws LayoutError
 */
export async function openPackedArchive(packed: PackedFile, signal: AbortSignal): Promise<ImageArchive> {
  const { name, file, modifiedAt } = packed;
  const register = new EntryRegister(name);
  const kept = new Map<string, Buffer>();
  let keptBytes = 0;
  for await (const { header, body } of entriesOf(packed, signal)) {
    const entry = register.add(header);
    if (entry === undefined || entry.sizeBytes > KEPT_ENTRY_LIMIT) continue;
    const isDocument = entry.sizeBytes <= DOCUMENT_BYTES && !entry.path.includes('/');
    const bytes = await jsonFrom(body, entry.sizeBytes, isDocument);
    if (bytes === undefined) continue;
    keptBytes += bytes.length;
    if (keptBytes > KEPT_BYTES_LIMIT)
      throw new LayoutError(
        'too-large',
        `${name}: it has more than ${KEPT_BYTES_LIMIT} bytes of manifests: decompress it first`,
      );
    kept.set(entry.path, bytes);
  }
  return {
    name,
    modifiedAt,
    entries: register.entries,
    remarks: register.remarks,
    linkedTo: (path) => register.linkedTo(path),
    isSeekable: false,
    readSmall: async (path, limitBytes) => {
      const bytes = kept.get(path);
      if (bytes !== undefined && bytes.length > limitBytes)
        throw new LayoutError('too-large', `${name}: ${path} has more than ${limitBytes} bytes`);
      return bytes;
    },
    bodies: async function* (paths, ending): AsyncGenerator<ArchiveBody, void, undefined> {
      const again = new EntryRegister(name);
      for await (const { header, body } of entriesOf(packed, ending)) {
        const entry = again.add(header);
        if (entry !== undefined && paths.has(entry.path)) yield { ...entry, body };
      }
    },
    close: () => file.close(),
  };
}

interface PassedEntry {
  readonly header: Parameters<EntryRegister['add']>[0];
  readonly body: AsyncIterable<Uint8Array>;
}

/** One pass. The rest of a body that was not read is passed over. */
async function* entriesOf(
  { name, file, unpack }: PackedFile,
  signal: AbortSignal,
): AsyncGenerator<PassedEntry, void, undefined> {
  const reader = extract();
  const growth = { in: 0, out: 0 };
  const source = Readable.from(counted(file, growth, signal));
  const unpacked = unpack();
  unpacked.on('data', (chunk: Buffer) => {
    growth.out += chunk.length;
    if (growth.out > GROWTH_FREE_BYTES && growth.out > growth.in * GROWTH_LIMIT)
      unpacked.destroy(
        new LayoutError('too-large', `${name}: it grows to more than ${GROWTH_LIMIT} times its size`),
      );
  });
  let failure: unknown;
  pipeline(source, unpacked, reader, (error) => {
    failure = error ?? undefined;
  });
  try {
    for await (const stream of reader) {
      const chunks = (stream as AsyncIterable<Uint8Array>)[Symbol.asyncIterator]();
      yield { header: stream.header, body: restOf(chunks, name) };
      while ((await chunks.next()).done !== true);
    }
  } catch (cause) {
    failure ??= cause;
  } finally {
    source.destroy();
    unpacked.destroy();
  }
  signal.throwIfAborted();
  if (failure !== undefined) throw damagedBy(failure, name);
}

async function* counted(
  file: ByteFile,
  growth: { in: number },
  signal: AbortSignal,
): AsyncGenerator<Buffer, void, undefined> {
  for await (const chunk of stretchOf(file, 0, file.sizeBytes, signal)) {
    growth.in += chunk.length;
    // It goes into a queue, and the memory that it came in is used again.
    yield Buffer.from(chunk);
  }
}

/** Who takes no more of it leaves the archive as it is; the library would end the whole of it. */
async function* restOf(
  chunks: AsyncIterator<Uint8Array>,
  name: string,
): AsyncGenerator<Uint8Array, void, undefined> {
  for (;;) {
    const { done, value } = await chunks.next().catch((cause: unknown) => {
      throw damagedBy(cause, name);
    });
    if (done === true) return;
    yield value;
  }
}

/** Of what broke the stream off. */
function damagedBy(cause: unknown, name: string): LayoutError {
  if (cause instanceof LayoutError) return cause;
  const why = cause instanceof Error ? cause.message : 'unknown';
  return new LayoutError('damaged', `${name}: it is cut off or damaged (${why})`, { cause });
}

/** All of it when it begins like JSON, or `isDocument`; else nothing is kept. */
async function jsonFrom(
  body: AsyncIterable<Uint8Array>,
  sizeBytes: number,
  isDocument: boolean,
): Promise<Buffer | undefined> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of body) {
    if (!isDocument && chunks.length === 0 && chunk[0] !== OPENING_BRACE && chunk[0] !== OPENING_BRACKET)
      return undefined;
    chunks.push(chunk);
  }
  return chunks.length === 0 ? undefined : Buffer.concat(chunks, sizeBytes);
}
