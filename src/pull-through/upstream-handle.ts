import type { Digest } from '../oci/digest.ts';
import type { Reference, RepositoryName } from '../oci/reference.ts';
import type {
  BlobRange,
  BlobTransfer,
  ManifestDocument,
  ManifestHead,
  ManifestOptions,
  Patience,
  Upstream,
} from '../upstream/upstream.ts';
import type { LeasedClient } from './leased-client.ts';

/** An upstream by its name, whichever client it has: what is held on to while the configuration changes. */
export class UpstreamHandle implements Upstream {
  readonly name: string;
  /** Who is asked from the next call on. Closed by who set it. */
  client: LeasedClient;

  constructor(name: string, client: LeasedClient) {
    this.name = name;
    this.client = client;
  }

  headManifest(
    repository: RepositoryName,
    reference: Reference,
    options: ManifestOptions,
    signal: AbortSignal,
  ): Promise<ManifestHead> {
    return this.client.ask((client) => client.headManifest(repository, reference, options, signal));
  }

  getManifest(
    repository: RepositoryName,
    reference: Reference,
    options: ManifestOptions,
    signal: AbortSignal,
  ): Promise<ManifestDocument> {
    return this.client.ask((client) => client.getManifest(repository, reference, options, signal));
  }

  headBlob(repository: RepositoryName, digest: Digest, signal: AbortSignal): Promise<number | undefined> {
    return this.client.ask((client) => client.headBlob(repository, digest, signal));
  }

  getBlob(
    repository: RepositoryName,
    digest: Digest,
    range: BlobRange,
    signal: AbortSignal,
  ): Promise<BlobTransfer> {
    return this.client.transfer(repository, digest, range, signal);
  }

  listTags(repository: RepositoryName, options: Patience, signal: AbortSignal): Promise<readonly string[]> {
    return this.client.ask((client) => client.listTags(repository, options, signal));
  }

  listReferrers(
    repository: RepositoryName,
    digest: Digest,
    options: Patience,
    signal: AbortSignal,
  ): Promise<readonly Record<string, unknown>[]> {
    return this.client.ask((client) => client.listReferrers(repository, digest, options, signal));
  }

  blobWasWrong(digest: Digest): void {
    this.client.blobWasWrong(digest);
  }

  close(): Promise<void> {
    return this.client.close();
  }
}
