import { type Digest, digestAlgorithm, digestFrom, digestOf } from '../oci/digest.ts';
import { declaredMediaType, ManifestError, readManifest } from '../oci/manifest.ts';
import { bareMediaType } from '../oci/media-type.ts';
import type { Reference } from '../oci/reference.ts';
import type { ResponseHeaders } from './response-headers.ts';
import type { ManifestDocument } from './upstream.ts';
import { UpstreamError } from './upstream-error.ts';

const MESSAGE_LENGTH_LIMIT = 200;

/** What old registries call manifests. */
export function isText(mediaType: string | undefined): boolean {
  return mediaType?.startsWith('text/') === true;
}

/**
 * What an upstream's body and headers amount to: checked against the digest that was asked, and against
 * `Docker-Content-Digest`, which is believed nowhere. By tag the digest is computed, with the algorithm that the
 * header names, sha256 otherwise. `textManifests`: where the header says text, the type is what the document says.
 * @throws UpstreamError `protocol`
 */
export function manifestOf(
  bytes: Buffer,
  headers: ResponseHeaders,
  reference: Reference,
  textManifests = false,
): ManifestDocument {
  const claimed = claimedDigest(headers);
  const asked = 'digest' in reference ? reference.digest : undefined;
  for (const expected of [asked, claimed]) {
    if (expected !== undefined && digestOf(bytes, digestAlgorithm(expected)) !== expected) {
      throw new UpstreamError('protocol', `the manifest's bytes are not those of ${expected}`);
    }
  }
  try {
    const contentType = headers.one('content-type');
    const byBody = textManifests && isText(bareMediaType(contentType));
    const facts = readManifest(bytes, byBody ? declaredMediaType(bytes) : contentType);
    return { digest: asked ?? claimed ?? digestOf(bytes), bytes, facts };
  } catch (cause) {
    if (!(cause instanceof ManifestError)) throw cause;
    // The message may quote a header of the upstream.
    const why = cause.message.slice(0, MESSAGE_LENGTH_LIMIT);
    throw new UpstreamError('protocol', `the upstream's answer is not a manifest that can be taken: ${why}`);
  }
}

/**
 * `Docker-Content-Digest`; `undefined` when absent, or of an algorithm that cannot be checked.
 * @throws UpstreamError `protocol` when it is there several times with different values
 */
export function claimedDigest(headers: ResponseHeaders): Digest | undefined {
  const values = headers.all('docker-content-digest').flatMap((value) => value.split(','));
  const distinct = new Set(values.map((value) => value.trim()).filter((value) => value !== ''));
  if (distinct.size > 1)
    throw new UpstreamError('protocol', 'the upstream names several digests for one answer');
  return digestFrom([...distinct][0]);
}

/** @throws UpstreamError `protocol` when the header names another digest (of the same algorithm) than was asked */
export function checkClaim(headers: ResponseHeaders, asked: Digest): void {
  const claimed = claimedDigest(headers);
  if (claimed === undefined || claimed === asked) return;
  if (digestAlgorithm(claimed) !== digestAlgorithm(asked)) return;
  throw new UpstreamError('protocol', `the upstream answers ${asked} with another digest`);
}
