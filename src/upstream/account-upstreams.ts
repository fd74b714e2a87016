import type { Digest } from '../oci/digest.ts';
import type { Reference, RepositoryName } from '../oci/reference.ts';
import type { RegistryHost } from './registry-host.ts';
import type {
  BlobRange,
  BlobTransfer,
  ManifestDocument,
  ManifestHead,
  ManifestOptions,
  Patience,
  Upstream,
} from './upstream.ts';

export interface AccountUpstreamsParts {
  readonly name: string;
  /** Closed with this. */
  readonly host: RegistryHost;
  /** The host as each account sees it; all are closed with this. */
  readonly accounts: readonly Upstream[];
  /** Which of `accounts` asks about a repository. */
  readonly accountOf: (repository: RepositoryName) => Upstream;
}

/** One registry whose repositories are asked about with different credentials. */
export class AccountUpstreams implements Upstream {
  readonly name: string;
  readonly #parts: AccountUpstreamsParts;

  constructor(parts: AccountUpstreamsParts) {
    this.name = parts.name;
    this.#parts = parts;
  }

  headManifest(
    repository: RepositoryName,
    reference: Reference,
    options: ManifestOptions,
    signal: AbortSignal,
  ): Promise<ManifestHead> {
    return this.#of(repository).headManifest(repository, reference, options, signal);
  }

  getManifest(
    repository: RepositoryName,
    reference: Reference,
    options: ManifestOptions,
    signal: AbortSignal,
  ): Promise<ManifestDocument> {
    return this.#of(repository).getManifest(repository, reference, options, signal);
  }

  headBlob(repository: RepositoryName, digest: Digest, signal: AbortSignal): Promise<number | undefined> {
    return this.#of(repository).headBlob(repository, digest, signal);
  }

  getBlob(
    repository: RepositoryName,
    digest: Digest,
    range: BlobRange,
    signal: AbortSignal,
  ): Promise<BlobTransfer> {
    return this.#of(repository).getBlob(repository, digest, range, signal);
  }

  listTags(repository: RepositoryName, options: Patience, signal: AbortSignal): Promise<readonly string[]> {
    return this.#of(repository).listTags(repository, options, signal);
  }

  listReferrers(
    repository: RepositoryName,
    digest: Digest,
    options: Patience,
    signal: AbortSignal,
  ): Promise<readonly Record<string, unknown>[]> {
    return this.#of(repository).listReferrers(repository, digest, options, signal);
  }

  blobWasWrong(digest: Digest): void {
    for (const account of this.#parts.accounts) account.blobWasWrong(digest);
  }

  async close(): Promise<void> {
    const { accounts, host } = this.#parts;
    await Promise.all(accounts.map((account) => account.close()));
    await host.close();
  }

  #of(repository: RepositoryName): Upstream {
    return this.#parts.accountOf(repository);
  }
}
