import { type Digest, digestFrom } from './digest.ts';
import type { ManifestFacts } from './manifest.ts';

export interface Reference {
  /** What it is about. */
  readonly subject: Digest;
  /** Of the manifest itself, as a list of referrers has it (distribution spec, "Listing Referrers"). */
  readonly descriptor: Readonly<Record<string, unknown>>;
}

/** What a manifest that was read as such refers to; `undefined` for most. */
export function manifestSubject(
  digest: Digest,
  bytes: Uint8Array,
  { mediaType }: ManifestFacts,
): Reference | undefined {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8');
  const document = objectFrom(JSON.parse(text));
  const subject = digestFrom(objectFrom(document['subject'])['digest']);
  if (subject === undefined) return undefined;
  const artifactType = document['artifactType'] ?? objectFrom(document['config'])['mediaType'];
  const { annotations } = document;
  return {
    subject,
    descriptor: {
      mediaType,
      digest,
      size: bytes.length,
      ...(typeof artifactType === 'string' && { artifactType }),
      ...(annotations !== undefined && { annotations }),
    },
  };
}

function objectFrom(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}
