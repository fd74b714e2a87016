import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { pipeline } from 'node:stream';
import { createGunzip, createGzip } from 'node:zlib';
import { z } from 'zod';
import type { StoreContents } from '../cache/store-contents.ts';
import { FileSink } from '../oci-layout/file-sink.ts';
import { PackedSink } from '../oci-layout/packed-sink.ts';
import { type Digest, digestFrom } from '../oci/digest.ts';
import { BundleError } from './bundle-error.ts';

/**
 * What one side has, for the other to leave out of a bundle: gzip of lines. The first is this document, each that follows
 * the hexadecimal digits of a SHA-256 digest, or another digest in full; in their order, so that equal stores give equal
 * lists.
 */
const inventoryHead = z.object({
  entrepotInventory: z.literal(1),
  /** ISO 8601. */
  createdAt: z.string(),
  createdBy: z.string(),
  count: z.number().int().nonnegative(),
});

/** All of them are kept in memory. */
const COUNT_LIMIT = 5_000_000;
const LINE_LENGTH_LIMIT = 4096;
/** Of a line whose end has not come: more than what is unpacked at a time. */
const UNENDED_LIMIT = 1024 * 1024;
/** Digits cannot be compressed below half their length; what grows more was made to fill memory. */
const BYTES_LIMIT = COUNT_LIMIT * 136;
const WRITE_BYTES = 64 * 1024;
const SHA256 = 'sha256:';

export interface InventoryFacts {
  readonly count: number;
  readonly sizeBytes: number;
}

/**
 * Writes the list of all that is stored, under its name when it is whole.
 * @throws StoreOperationError, OutputError, the signal's reason
 */
export async function writeInventory(
  path: string,
  contents: Pick<StoreContents, 'list'>,
  facts: { readonly createdAt: number; readonly createdBy: string },
  signal: AbortSignal,
): Promise<InventoryFacts> {
  const lines: string[] = [];
  for await (const { digest } of contents.list(signal))
    lines.push(digest.startsWith(SHA256) ? digest.slice(SHA256.length) : digest);
  lines.sort();
  const head: z.infer<typeof inventoryHead> = {
    entrepotInventory: 1,
    createdAt: new Date(facts.createdAt).toISOString(),
    createdBy: facts.createdBy,
    count: lines.length,
  };
  const sink = new PackedSink(createGzip({ level: 9 }), await FileSink.open(path));
  try {
    for (const text of textsOf([JSON.stringify(head), ...lines])) await sink.write(Buffer.from(text));
    signal.throwIfAborted();
    const [file] = await sink.finish();
    return { count: lines.length, sizeBytes: file?.sizeBytes ?? 0 };
  } catch (error) {
    await sink.abandon();
    throw error;
  }
}

/** @throws BundleError, the signal's reason */
export async function readInventory(path: string, signal: AbortSignal): Promise<ReadonlySet<Digest>> {
  const digests = new Set<Digest>();
  let head: z.infer<typeof inventoryHead> | undefined;
  let number = 0;
  try {
    for await (const line of linesOf(path, signal)) {
      number += 1;
      if (head === undefined) {
        head = headOf(line, path);
        continue;
      }
      const digest = digestFrom(line.includes(':') ? line : `${SHA256}${line}`);
      if (digest === undefined) throw new BundleError('invalid', `${path}:${number}: it is not a digest`);
      digests.add(digest);
      if (digests.size > COUNT_LIMIT)
        throw new BundleError('invalid', `${path}: it lists more than ${COUNT_LIMIT} digests`);
    }
  } catch (cause) {
    signal.throwIfAborted();
    throw cause instanceof BundleError ? cause : unreadable(path, cause);
  }
  if (head === undefined) throw new BundleError('invalid', `${path}: ${NOT_ONE}`);
  if (digests.size !== head.count)
    throw new BundleError(
      'invalid',
      `${path}: it lists ${digests.size} digests and not ${head.count}: it was cut off or changed`,
    );
  return digests;
}

const NOT_ONE = 'it is no inventory as entrepot inventory writes it';

function* textsOf(lines: Iterable<string>): Generator<string> {
  let text = '';
  for (const line of lines) {
    text += `${line}\n`;
    if (text.length < WRITE_BYTES) continue;
    yield text;
    text = '';
  }
  yield text;
}

async function* linesOf(path: string, signal: AbortSignal): AsyncGenerator<string, void> {
  const file = createReadStream(path, { signal });
  const unpacked = createGunzip();
  let bytes = 0;
  let lineBytes = 0;
  unpacked.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes > BYTES_LIMIT) unpacked.destroy(new BundleError('invalid', `${path}: it is too large`));
    // Lines are gathered until they end.
    const end = chunk.lastIndexOf('\n');
    lineBytes = end === -1 ? lineBytes + chunk.length : chunk.length - end - 1;
    if (lineBytes > UNENDED_LIMIT) unpacked.destroy(new BundleError('invalid', `${path}: ${NOT_ONE}`));
  });
  const failed = new Promise<void>((resolve, reject) => {
    pipeline(file, unpacked, (error) => {
      if (error) reject(error);
      else resolve();
    });
  });
  failed.catch(() => undefined);
  const lines = createInterface({ input: unpacked, crlfDelay: Infinity });
  for await (const line of lines) {
    if (line.length > LINE_LENGTH_LIMIT) throw new BundleError('invalid', `${path}: ${NOT_ONE}`);
    yield line;
  }
  await failed;
}

function headOf(line: string, path: string): z.infer<typeof inventoryHead> {
  let document: unknown;
  try {
    document = JSON.parse(line);
  } catch {
    document = undefined;
  }
  const head = inventoryHead.safeParse(document);
  if (head.success) return head.data;
  const version = z.object({ entrepotInventory: z.number() }).safeParse(document);
  throw new BundleError(
    'invalid',
    version.success
      ? `${path}: it is of version ${version.data.entrepotInventory}, and this entrepot reads version 1`
      : `${path}: ${NOT_ONE}`,
  );
}

function unreadable(path: string, cause: unknown): BundleError {
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'unknown';
  if (code.startsWith('Z_'))
    return new BundleError(
      'invalid',
      `${path}: ${code === 'Z_DATA_ERROR' ? NOT_ONE : 'it is cut off or damaged'}`,
      { cause },
    );
  const what = code === 'ENOENT' ? 'there is no such file' : `cannot be read (${code})`;
  return new BundleError('unreadable', `${path}: ${what}`, { cause });
}
