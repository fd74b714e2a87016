import type { Digest } from '../oci/digest.ts';

/** How digests are kept: one byte for the algorithm, then the hash. Less than half of the text. */
const ALGORITHMS = [undefined, 'sha256', 'sha512'] as const;

export function digestKey(digest: Digest): Buffer {
  const isShort = digest.startsWith('sha256:');
  return Buffer.from((isShort ? '01' : '02') + digest.slice(digest.indexOf(':') + 1), 'hex');
}

export function digestOfKey(key: Buffer): Digest {
  return `${ALGORITHMS[key[0] ?? 0] ?? 'unknown'}:${key.toString('hex', 1)}` as Digest;
}
