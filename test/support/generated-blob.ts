import { createCipheriv, createHash } from 'node:crypto';
import { type Digest, digestFromHash } from '../../src/oci/digest.ts';
import { type ByteSource, sourcePieces } from './byte-source.ts';

const BLOCK_SIZE = 1024 * 1024;
const POOL_SIZE = 8 * BLOCK_SIZE;

let pool: Buffer | undefined;
const digests = new Map<string, Digest>();

/** What a generated blob is made from: equal recipes give equal bytes, in every process. */
export interface BlobRecipe {
  readonly size: number;
  /** Any integer. Two seeds give two blobs (but for blobs of a few bytes). */
  readonly seed: number;
}

/**
 * A blob of any size that occupies no memory of its own: each of its 1 MiB blocks is a window into one shared pool
 * of random bytes, at a place that depends on the seed and the block's number. It does not compress.
 */
export function generatedBlob({ size, seed }: BlobRecipe): ByteSource {
  return {
    size,
    at(position, max) {
      const block = Math.floor(position / BLOCK_SIZE);
      const within = position - block * BLOCK_SIZE;
      const length = Math.min(max, size - position, BLOCK_SIZE - within);
      const start = (mix(seed, block) % (POOL_SIZE - BLOCK_SIZE)) + within;
      return randomPool().subarray(start, start + length);
    },
  };
}

/** The blob's sha256 digest; computed once for each recipe. */
export function generatedBlobDigest(recipe: BlobRecipe): Digest {
  const key = `${recipe.size}/${recipe.seed}`;
  const known = digests.get(key);
  if (known !== undefined) return known;
  const hash = createHash('sha256');
  for (const piece of sourcePieces(generatedBlob(recipe))) hash.update(piece);
  const digest = digestFromHash('sha256', hash);
  digests.set(key, digest);
  return digest;
}

function randomPool(): Buffer {
  pool ??= createCipheriv('aes-128-ctr', Buffer.alloc(16, 7), Buffer.alloc(16)).update(
    Buffer.alloc(POOL_SIZE),
  );
  return pool;
}

/** A 32-bit mix of two integers (the finaliser of MurmurHash3). */
function mix(seed: number, block: number): number {
  let value = Math.imul(seed ^ 0x9e3779b9, 0x85ebca6b) ^ Math.imul(block + 1, 0xc2b2ae35);
  value = Math.imul(value ^ (value >>> 16), 0x85ebca6b);
  value = Math.imul(value ^ (value >>> 13), 0xc2b2ae35);
  return (value ^ (value >>> 16)) >>> 0;
}
