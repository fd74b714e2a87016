import { createHash, type Hash } from 'node:crypto';
import { OciError } from './error.ts';

/** `algorithm:hex` of a supported algorithm; comes only from this file. */
export type Digest = string & { readonly __brand: 'Digest' };

/** The registered algorithms that entrepot verifies (image-spec, "Digests"). */
export type DigestAlgorithm = 'sha256' | 'sha512';

const HEX_LENGTH: Record<DigestAlgorithm, number> = { sha256: 64, sha512: 128 };
const GRAMMAR = /^[a-z0-9]+(?:[+._-][a-z0-9]+)*:[a-zA-Z0-9=_-]+$/;

/**
 * Parses a digest (image-spec, "Digests").
 * @throws OciError `DIGEST_INVALID` when the text breaks the grammar or names an algorithm other than sha256 or sha512.
 */
export function parseDigest(text: string): Digest {
  const digest = digestFrom(text);
  if (digest !== undefined) return digest;
  const algorithm = GRAMMAR.test(text) ? text.slice(0, text.indexOf(':')) : undefined;
  const known = algorithm !== undefined && Object.hasOwn(HEX_LENGTH, algorithm);
  throw new OciError(
    'DIGEST_INVALID',
    algorithm !== undefined && !known
      ? `digest algorithm ${JSON.stringify(algorithm.slice(0, 32))} is not supported: sha256 and sha512 are`
      : 'a digest is sha256: and 64, or sha512: and 128, lower-case hexadecimal digits',
  );
}

/** Like `parseDigest`, for outside data where a bad digest is a matter of course: `undefined` instead of an error. */
export function digestFrom(text: unknown): Digest | undefined {
  if (typeof text !== 'string') return undefined;
  const colon = text.indexOf(':');
  const algorithm = text.slice(0, colon);
  if (algorithm !== 'sha256' && algorithm !== 'sha512') return undefined;
  if (text.length !== colon + 1 + HEX_LENGTH[algorithm]) return undefined;
  return /^[0-9a-f]+$/.test(text.slice(colon + 1)) ? (text as Digest) : undefined;
}

export function digestAlgorithm(digest: Digest): DigestAlgorithm {
  return digest.startsWith('sha256:') ? 'sha256' : 'sha512';
}

/** The hexadecimal part. */
export function digestHex(digest: Digest): string {
  return digest.slice(digest.indexOf(':') + 1);
}

/** The digest of bytes that are at hand whole. */
export function digestOf(bytes: Uint8Array, algorithm: DigestAlgorithm = 'sha256'): Digest {
  return digestFromHash(algorithm, createHash(algorithm).update(bytes));
}

/** Ends `hash`, which must be of `algorithm`, and names its result. */
export function digestFromHash(algorithm: DigestAlgorithm, hash: Hash): Digest {
  return `${algorithm}:${hash.digest('hex')}` as Digest;
}
