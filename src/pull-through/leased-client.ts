import type { Digest } from '../oci/digest.ts';
import type { RepositoryName } from '../oci/reference.ts';
import type { BlobRange, BlobTransfer, Upstream } from '../upstream/upstream.ts';

/** The client of an upstream with a count of what runs on it, so that it can be closed when nothing does. */
export class LeasedClient {
  readonly #client: Upstream;
  #running = 0;
  #closing: Promise<void> | undefined;

  /** @param client closed with this */
  constructor(client: Upstream) {
    this.#client = client;
  }

  /** Calls that have not answered, and bodies that are not at their end. */
  get running(): number {
    return this.#running;
  }

  async ask<T>(call: (client: Upstream) => Promise<T>): Promise<T> {
    this.#running += 1;
    try {
      return await call(this.#client);
    } finally {
      this.#running -= 1;
    }
  }

  /** As `Upstream.getBlob`; it runs until the body is closed. */
  async transfer(
    repository: RepositoryName,
    digest: Digest,
    range: BlobRange,
    signal: AbortSignal,
  ): Promise<BlobTransfer> {
    return this.ask(async (client) => {
      const transfer = await client.getBlob(repository, digest, range, signal);
      if (!transfer.body.closed) {
        this.#running += 1;
        transfer.body.once('close', () => (this.#running -= 1));
      }
      return transfer;
    });
  }

  blobWasWrong(digest: Digest): void {
    this.#client.blobWasWrong(digest);
  }

  /** Once; calls and bodies that still run fail. */
  close(): Promise<void> {
    return (this.#closing ??= this.#client.close());
  }
}
