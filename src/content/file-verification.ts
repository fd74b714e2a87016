import { type Digest, digestAlgorithm, digestHex } from '../oci/digest.ts';
import { ContentError, contentErrorFrom } from './content-error.ts';
import { readExactly } from './exact-read.ts';
import { assertUnchanged, closeRead, type OpenedFile, openFile } from './file-content.ts';
import type { FileSystem } from './file-system.ts';
import type { HashJob, HashWorkers } from './hash-workers.ts';
import { SLAB_BYTES, type SlabPool } from './slabs.ts';

export interface VerificationParts {
  readonly fileSystem: FileSystem;
  readonly hashes: HashWorkers;
  readonly slabs: SlabPool;
}

export interface ToVerify {
  readonly path: string;
  readonly digest: Digest;
  readonly sizeBytes: number;
}

/**
 * Reads a file whole and compares its digest. Two slabs at most: one is read while the other is hashed.
 * @throws ContentError; the signal's reason
 */
export async function verifyFile(
  parts: VerificationParts,
  { path, digest, sizeBytes }: ToVerify,
  signal: AbortSignal,
  onBytes?: (bytes: number) => Promise<void> | void,
): Promise<void> {
  signal.throwIfAborted();
  const file = await openFile(parts.fileSystem, path, sizeBytes);
  if (file === undefined) throw new ContentError('missing', 'there is no such file');
  const hash = parts.hashes.start(digestAlgorithm(digest), sizeBytes);
  try {
    await hashFile(parts, file, hash, signal, onBytes);
    const hex = await hashed(hash.digest());
    await assertUnchanged(parts.fileSystem, file);
    if (hex !== digestHex(digest))
      throw new ContentError('damaged', 'the file holds other bytes than its digest names');
  } catch (cause) {
    if (signal.aborted) throw signal.reason as Error;
    throw contentErrorFrom(cause, 'verifying content');
  } finally {
    hash.drop();
    await closeRead(parts.fileSystem, file.handle);
  }
}

async function hashFile(
  { fileSystem, slabs }: VerificationParts,
  { handle, facts }: OpenedFile,
  hash: HashJob,
  signal: AbortSignal,
  onBytes: ((bytes: number) => Promise<void> | void) | undefined,
): Promise<void> {
  let hashing = Promise.resolve();
  try {
    for (let position = 0; position < facts.sizeBytes;) {
      const slab = await slabs.acquire(signal);
      const length = Math.min(SLAB_BYTES, facts.sizeBytes - position);
      try {
        await readExactly(fileSystem, handle, slab.bytes, length, position);
        await hashing;
        hashing = hashed(hash.update(slab, length));
        // Whoever fails first is told of; nobody else waits for this one.
        hashing.catch(() => undefined);
      } finally {
        slab.release();
      }
      position += length;
      await onBytes?.(length);
    }
  } finally {
    await hashing;
  }
}

async function hashed<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (cause) {
    throw new ContentError('exhausted', 'hashing failed', { cause });
  }
}
