import type { Digest } from '../oci/digest.ts';
import { MANIFEST_SIZE_LIMIT } from '../oci/manifest.ts';
import type { StoreContents } from './store-contents.ts';

/**
 * All bytes of stored content that may be a manifest. `undefined` when it is not stored, or too large to be one.
 * @throws as `StoreContents.read`
 */
export async function storedDocument(
  contents: Pick<StoreContents, 'read'>,
  digest: Digest,
  signal: AbortSignal,
  options?: { readonly isUse: boolean },
): Promise<Buffer | undefined> {
  const found = await contents.read(digest, signal, options);
  if (found === undefined) return undefined;
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of found.body) {
    length += chunk.length;
    if (length > MANIFEST_SIZE_LIMIT) return undefined;
    // It is lent until the next one.
    chunks.push(Buffer.from(chunk));
  }
  return Buffer.concat(chunks);
}
