import type { Digest } from '../oci/digest.ts';
import type { Reference, RepositoryName } from '../oci/reference.ts';
import { JoinedSignal } from './joined-signal.ts';
import type { OfflineGate } from './offline-switch.ts';
import type {
  BlobRange,
  BlobTransfer,
  ManifestDocument,
  ManifestHead,
  ManifestOptions,
  Patience,
  Upstream,
} from './upstream.ts';

/**
 * An upstream that is not asked while its gate says so: every call fails at once with `offline`. What waits for an answer
 * when the gate closes fails as well; a blob that has begun to come may come to its end. That was asked for before, has
 * to be paid for again if it is broken off, and its clients are in the middle of a pull; it is not resumed when it breaks.
 */
export class SwitchedUpstream implements Upstream {
  readonly name: string;
  readonly #upstream: Upstream;
  readonly #gate: OfflineGate;

  /** @param upstream closed with this */
  constructor(upstream: Upstream, gate: OfflineGate) {
    this.name = upstream.name;
    this.#upstream = upstream;
    this.#gate = gate;
  }

  headManifest(
    repository: RepositoryName,
    reference: Reference,
    options: ManifestOptions,
    signal: AbortSignal,
  ): Promise<ManifestHead> {
    return this.#ask(signal, (joined) => this.#upstream.headManifest(repository, reference, options, joined));
  }

  getManifest(
    repository: RepositoryName,
    reference: Reference,
    options: ManifestOptions,
    signal: AbortSignal,
  ): Promise<ManifestDocument> {
    return this.#ask(signal, (joined) => this.#upstream.getManifest(repository, reference, options, joined));
  }

  headBlob(repository: RepositoryName, digest: Digest, signal: AbortSignal): Promise<number | undefined> {
    return this.#ask(signal, (joined) => this.#upstream.headBlob(repository, digest, joined));
  }

  async getBlob(
    repository: RepositoryName,
    digest: Digest,
    range: BlobRange,
    signal: AbortSignal,
  ): Promise<BlobTransfer> {
    const { refusal, going } = this.#gate;
    if (refusal !== undefined) throw refusal;
    // Of the caller's for as long as the body lasts, of the gate's until it has begun.
    const joined = new JoinedSignal(signal);
    const breakOff = (): void => {
      const { reason }: { readonly reason: unknown } = going;
      joined.abort(reason instanceof Error ? reason : new Error('offline', { cause: reason }));
    };
    going.addEventListener('abort', breakOff, { once: true });
    try {
      const transfer = await this.#upstream.getBlob(repository, digest, range, joined.signal);
      if (transfer.body.closed) joined.leave();
      else transfer.body.once('close', () => joined.leave());
      return transfer;
    } catch (error) {
      joined.leave();
      throw error;
    } finally {
      going.removeEventListener('abort', breakOff);
    }
  }

  listTags(repository: RepositoryName, options: Patience, signal: AbortSignal): Promise<readonly string[]> {
    return this.#ask(signal, (joined) => this.#upstream.listTags(repository, options, joined));
  }

  listReferrers(
    repository: RepositoryName,
    digest: Digest,
    options: Patience,
    signal: AbortSignal,
  ): Promise<readonly Record<string, unknown>[]> {
    return this.#ask(signal, (joined) => this.#upstream.listReferrers(repository, digest, options, joined));
  }

  blobWasWrong(digest: Digest): void {
    this.#upstream.blobWasWrong(digest);
  }

  close(): Promise<void> {
    return this.#upstream.close();
  }

  async #ask<T>(signal: AbortSignal, ask: (joined: AbortSignal) => Promise<T>): Promise<T> {
    const { refusal, going } = this.#gate;
    if (refusal !== undefined) throw refusal;
    const joined = new JoinedSignal(signal, going);
    try {
      return await ask(joined.signal);
    } finally {
      joined.leave();
    }
  }
}
