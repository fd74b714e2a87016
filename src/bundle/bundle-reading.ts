import type { KeyObject } from 'node:crypto';
import type { ImageArchive } from '../oci-layout/image-archive.ts';
import { digestAlgorithm, digestOf } from '../oci/digest.ts';
import { BundleError } from './bundle-error.ts';
import {
  BUNDLE_MANIFEST_BYTES_LIMIT,
  BUNDLE_MANIFEST_NAME,
  BUNDLE_SIGNATURE_NAME,
  BUNDLE_VERSION,
  bundleManifest,
  type BundleManifest,
} from './bundle-manifest.ts';
import { isSignedBy } from './signature.ts';

const SIGNATURE_BYTES_LIMIT = 1024;

/**
 * What a bundle says of itself; its signature, where one is asked for, and its other documents are what they should be.
 * @param publicKeys none: it need not be signed
 * @throws BundleError, LayoutError
 */
export async function readBundleManifest(
  archive: ImageArchive,
  publicKeys: readonly KeyObject[],
  signal: AbortSignal,
): Promise<BundleManifest> {
  const { name } = archive;
  const bytes = await archive.readSmall(BUNDLE_MANIFEST_NAME, BUNDLE_MANIFEST_BYTES_LIMIT, signal);
  if (bytes === undefined) throw new BundleError('invalid', `${name}: ${BUNDLE_MANIFEST_NAME} is no JSON`);
  if (publicKeys.length > 0) {
    const signature = await archive.readSmall(BUNDLE_SIGNATURE_NAME, SIGNATURE_BYTES_LIMIT, signal);
    assertSigned({ place: name, bytes, signature }, publicKeys);
  }
  const manifest = parsedBundle(bytes, `${name}: ${BUNDLE_MANIFEST_NAME}`);
  for (const [file, [digest, sizeBytes]] of Object.entries(manifest.files)) {
    const found = await archive.readSmall(file, BUNDLE_MANIFEST_BYTES_LIMIT, signal);
    if (found === undefined) throw new BundleError('invalid', `${name}: ${file} is missing`);
    if (found.length !== sizeBytes || digestOf(found, digestAlgorithm(digest)) !== digest)
      throw new BundleError('invalid', `${name}: ${file} was altered`);
  }
  return manifest;
}

/** @throws BundleError `untrusted` */
export function assertSigned(
  {
    place,
    bytes,
    signature,
  }: { readonly place: string; readonly bytes: Uint8Array; readonly signature: Buffer | undefined },
  publicKeys: readonly KeyObject[],
): void {
  if (signature === undefined)
    throw new BundleError('untrusted', `${place}: is not signed, and a public key is configured`);
  if (!isSignedBy(bytes, signature.toString('latin1'), publicKeys))
    throw new BundleError(
      'untrusted',
      `${place}: was signed with another key than those that are configured, or altered since`,
    );
}

function parsedBundle(bytes: Buffer, place: string): BundleManifest {
  let document: unknown;
  try {
    document = JSON.parse(bytes.toString('utf8'));
  } catch (cause) {
    throw new BundleError('invalid', `${place} is no JSON`, { cause });
  }
  const version: unknown =
    typeof document === 'object' && document !== null && 'entrepotBundle' in document
      ? document.entrepotBundle
      : undefined;
  if (typeof version === 'number' && version > BUNDLE_VERSION)
    throw new BundleError('invalid', `${place}: was written by a newer version of entrepot`);
  const result = bundleManifest.safeParse(document);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw new BundleError(
    'invalid',
    `${place}: ${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'is none'}`,
  );
}
