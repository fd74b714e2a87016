import { type Digest, digestOf, parseDigest } from '../../src/oci/digest.ts';
import { type ByteSource, bytesSource } from './byte-source.ts';
import { type BlobRecipe, generatedBlob, generatedBlobDigest } from './generated-blob.ts';

export interface FakeManifest {
  readonly bytes: Buffer;
  readonly mediaType: string;
}

interface FakeRepository {
  readonly blobs: Map<Digest, ByteSource>;
  readonly manifests: Map<Digest, FakeManifest>;
  readonly tags: Map<string, Digest>;
  readonly referrers: Map<Digest, Record<string, unknown>[]>;
}

/** What a fake registry holds. Two servers may share one content: a registry and its "CDN". */
export class FakeContent {
  readonly #repositories = new Map<string, FakeRepository>();

  /** `undefined` for one that was never added to. */
  find(repository: string): Readonly<FakeRepository> | undefined {
    return this.#repositories.get(repository);
  }

  /** A blob by digest alone, in whatever repository it is. */
  blobAnywhere(digest: string): ByteSource | undefined {
    for (const { blobs } of this.#repositories.values()) {
      const source = blobs.get(digest as Digest);
      if (source) return source;
    }
    return undefined;
  }

  /** A recipe makes a blob of any size without holding it in memory. */
  addBlob(repository: string, blob: Uint8Array | BlobRecipe): Digest {
    const digest = blob instanceof Uint8Array ? digestOf(blob) : generatedBlobDigest(blob);
    const source = blob instanceof Uint8Array ? bytesSource(blob) : generatedBlob(blob);
    this.#repository(repository).blobs.set(digest, source);
    return digest;
  }

  /** Under a digest that need not be that of the bytes: what an evil or broken registry holds. */
  addFalseBlob(repository: string, digest: string, bytes: Uint8Array): Digest {
    this.#repository(repository).blobs.set(parseDigest(digest), bytesSource(bytes));
    return parseDigest(digest);
  }

  deleteBlob(repository: string, digest: Digest): void {
    this.#repository(repository).blobs.delete(digest);
  }

  /** A manifest with a `subject` becomes a referrer of it. A string is its UTF-8 bytes. */
  addManifest(
    repository: string,
    document: Uint8Array | string,
    mediaType: string,
    tags: readonly string[] = [],
  ): Digest {
    const bytes = Buffer.from(document);
    const digest = digestOf(bytes);
    this.#repository(repository).manifests.set(digest, { bytes, mediaType });
    for (const tag of tags) this.tag(repository, tag, digest);
    const referrer = referrerOf({ bytes, mediaType }, digest);
    if (referrer) this.addReferrer(repository, referrer.subject, referrer.descriptor);
    return digest;
  }

  /** Under a digest that need not be that of the bytes. */
  addFalseManifest(repository: string, digest: string, manifest: FakeManifest): void {
    this.#repository(repository).manifests.set(parseDigest(digest), manifest);
  }

  deleteManifest(repository: string, digest: Digest): void {
    const found = this.#repository(repository);
    found.manifests.delete(digest);
    for (const [tag, tagged] of found.tags) if (tagged === digest) found.tags.delete(tag);
  }

  tag(repository: string, tag: string, digest: Digest): void {
    this.#repository(repository).tags.set(tag, digest);
  }

  untag(repository: string, tag: string): void {
    this.#repository(repository).tags.delete(tag);
  }

  /** A descriptor in the answer to `referrers/<subject>`. */
  addReferrer(repository: string, subject: Digest, descriptor: Record<string, unknown>): void {
    const { referrers } = this.#repository(repository);
    referrers.set(subject, [...(referrers.get(subject) ?? []), descriptor]);
  }

  #repository(name: string): FakeRepository {
    const found = this.#repositories.get(name) ?? {
      blobs: new Map(),
      manifests: new Map(),
      tags: new Map(),
      referrers: new Map(),
    };
    this.#repositories.set(name, found);
    return found;
  }
}

/** The descriptor that the distribution spec ("Listing Referrers") makes of a manifest with a subject. */
function referrerOf(
  { bytes, mediaType }: FakeManifest,
  digest: Digest,
): { subject: Digest; descriptor: Record<string, unknown> } | undefined {
  let document: Record<string, unknown>;
  try {
    document = JSON.parse(bytes.toString()) as Record<string, unknown>;
  } catch {
    return undefined;
  }
  const subject = (document['subject'] as { digest?: unknown } | undefined)?.digest;
  if (typeof subject !== 'string') return undefined;
  const config = document['config'] as { mediaType?: string } | undefined;
  const artifactType = document['artifactType'] ?? config?.mediaType;
  const annotations = document['annotations'];
  return {
    subject: parseDigest(subject),
    descriptor: {
      mediaType,
      digest,
      size: bytes.length,
      ...(artifactType === undefined ? {} : { artifactType }),
      ...(annotations === undefined ? {} : { annotations }),
    },
  };
}
