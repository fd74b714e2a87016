import type { Clock } from '../clock.ts';
import type { Digest } from '../oci/digest.ts';
import type { Reference, RepositoryName } from '../oci/reference.ts';
import { recentEntries } from '../recent-entries.ts';
import { JoinedSignal } from './joined-signal.ts';
import { PenaltyBox } from './penalty-box.ts';
import type {
  BlobRange,
  BlobTransfer,
  ManifestDocument,
  ManifestHead,
  ManifestOptions,
  Patience,
  Upstream,
} from './upstream.ts';
import { UpstreamError } from './upstream-error.ts';

/** How long the origin may take to contradict what a mirror has already said. */
const ORIGIN_GRACE_MS = 2_000;

export interface MirroredUpstreamParts {
  readonly origin: Upstream;
  /** In the order to be tried. Each gets one try, since others can stand in for it. All are closed with this. */
  readonly mirrors: readonly Upstream[];
  readonly clock: Clock;
}

interface Mirror {
  readonly upstream: Upstream;
  readonly box: PenaltyBox;
}

/** Blobs of which is known who sent them, should they turn out to be wrong. */
const SENDER_COUNT_LIMIT = 10_000;

/** One request of the seam, to whichever source it is sent. */
type Ask<T> = (source: Upstream, signal: AbortSignal) => Promise<T>;

/** Called with the mirror that gave an answer. */
type OnAnswer = (mirror: Mirror) => void;

/** A HEAD says little of how well a mirror is. */
const ignored: OnAnswer = () => undefined;

/**
 * A registry and others that have the same repositories. What a digest names is the same everywhere: it comes from the
 * first mirror that has it, else from the origin. What may change (tags, lists) the origin decides as long as it
 * answers; the mirrors are asked beside it and stand in for it. A mirror's 404, 401 or 403 moves on; any other failure
 * passes it over for a while, until nothing else is left.
 */
export class MirroredUpstream implements Upstream {
  readonly name: string;
  readonly #origin: Upstream;
  readonly #mirrors: readonly Mirror[];
  readonly #clock: Clock;
  /** Who sent any of a blob's bytes since the origin last sent them from the start. */
  readonly #senders = recentEntries<Digest, ReadonlySet<Mirror>>(SENDER_COUNT_LIMIT);

  constructor({ origin, mirrors, clock }: MirroredUpstreamParts) {
    this.name = origin.name;
    this.#origin = origin;
    this.#mirrors = mirrors.map((upstream) => ({ upstream, box: new PenaltyBox(clock) }));
    this.#clock = clock;
  }

  headManifest(
    repository: RepositoryName,
    reference: Reference,
    options: ManifestOptions,
    signal: AbortSignal,
  ): Promise<ManifestHead> {
    const ask: Ask<ManifestHead> = (source, limit) =>
      source.headManifest(repository, reference, options, limit);
    return 'digest' in reference ? this.#fromAny(ask, signal) : this.#asOriginSays(ask, signal, true);
  }

  getManifest(
    repository: RepositoryName,
    reference: Reference,
    options: ManifestOptions,
    signal: AbortSignal,
  ): Promise<ManifestDocument> {
    const ask: Ask<ManifestDocument> = (source, limit) =>
      source.getManifest(repository, reference, options, limit);
    return 'digest' in reference ? this.#fromAny(ask, signal, isWell) : this.#asOriginSays(ask, signal);
  }

  headBlob(repository: RepositoryName, digest: Digest, signal: AbortSignal): Promise<number | undefined> {
    return this.#fromAny((source, limit) => source.headBlob(repository, digest, limit), signal);
  }

  /**
   * A transfer that breaks is its mirror's failure, and so is one of another size than is due: the next source is asked.
   * That a mirror is well is known at the end of a transfer only.
   */
  getBlob(
    repository: RepositoryName,
    digest: Digest,
    { start, end, expectedBytes, isOptional }: BlobRange,
    signal: AbortSignal,
  ): Promise<BlobTransfer> {
    const ask: Ask<BlobTransfer> = async (source, limit) => {
      const transfer = await source.getBlob(
        repository,
        digest,
        { start, end, expectedBytes, isOptional },
        limit,
      );
      // A validator means something to who gave it only, and the digest says more.
      const taken = { ...transfer, etag: undefined };
      const mirror = this.#mirrors.find(({ upstream }) => upstream === source);
      if (mirror === undefined) {
        if (start === 0) this.#senders.delete(digest);
        return taken;
      }
      const { sizeBytes, body } = transfer;
      if (sizeBytes !== undefined && expectedBytes !== undefined && sizeBytes !== expectedBytes) {
        body.destroy();
        throw new UpstreamError(
          'protocol',
          `a mirror says ${sizeBytes} bytes where ${expectedBytes} are due`,
        );
      }
      const before = start === 0 ? [] : this.#senders.get(digest);
      this.#senders.set(digest, new Set(before).add(mirror));
      body.once('end', () => mirror.box.succeeded());
      body.once('error', (error) => {
        if (!limit.aborted) note(mirror, error);
      });
      return taken;
    };
    return this.#fromAny(ask, signal);
  }

  listTags(repository: RepositoryName, options: Patience, signal: AbortSignal): Promise<readonly string[]> {
    return this.#asOriginSays((source, limit) => source.listTags(repository, options, limit), signal);
  }

  listReferrers(
    repository: RepositoryName,
    digest: Digest,
    options: Patience,
    signal: AbortSignal,
  ): Promise<readonly Record<string, unknown>[]> {
    return this.#asOriginSays(
      (source, limit) => source.listReferrers(repository, digest, options, limit),
      signal,
    );
  }

  blobWasWrong(digest: Digest): void {
    for (const { box } of this.#senders.get(digest) ?? []) box.lied();
    this.#senders.delete(digest);
  }

  async close(): Promise<void> {
    await Promise.all(
      [this.#origin, ...this.#mirrors.map(({ upstream }) => upstream)].map((each) => each.close()),
    );
  }

  /** From the first mirror that has it, else from the origin; from a mirror in the penalty box when all else fails. */
  async #fromAny<T>(ask: Ask<T>, signal: AbortSignal, onAnswer: OnAnswer = ignored): Promise<T> {
    const [boxed, free] = this.#byStanding();
    const early = await firstOf(free, ask, signal, onAnswer);
    if (early !== undefined) return early.value;
    try {
      return await ask(this.#origin, signal);
    } catch (error) {
      signal.throwIfAborted();
      if (isWord(error)) throw error;
      const late = await firstOf(boxed, ask, signal, onAnswer);
      if (late !== undefined) return late.value;
      throw error;
    }
  }

  /** What the origin says, as long as it says anything; else what the first mirror says that does. */
  async #asOriginSays<T>(ask: Ask<T>, signal: AbortSignal, isShort = false): Promise<T> {
    const [boxed, free] = this.#byStanding();
    const losing = new JoinedSignal(signal);
    const own = ask(this.#origin, losing.signal);
    const mirrored = firstOf(free, ask, losing.signal);
    const over = new AbortController();
    const standIn = mirrored.then(async (answer) => {
      if (answer === undefined) return own;
      await this.#clock.sleep(ORIGIN_GRACE_MS, over.signal);
      return answer.value;
    });
    // None may be left to reject unheard.
    for (const each of [own, mirrored, standIn]) each.catch(() => undefined);
    try {
      return await Promise.race([own, standIn]);
    } catch (error) {
      signal.throwIfAborted();
      if (isWord(error)) throw error;
      const answer = (await mirrored) ?? (await firstOf(boxed, ask, signal));
      if (answer !== undefined) return answer.value;
      throw error;
    } finally {
      over.abort();
      losing.leave();
      // A list is long, and a GET may count as a pull: whoever is not needed any more stops. A HEAD is over soon, and
      // stopping it would cost its connection.
      if (!isShort) losing.abort(new Error('another source has answered'));
    }
  }

  #byStanding(): readonly [readonly Mirror[], readonly Mirror[]] {
    const isClosed = ({ box }: Mirror): boolean => box.isClosed;
    return [this.#mirrors.filter(isClosed), this.#mirrors.filter((mirror) => !isClosed(mirror))];
  }
}

/** `undefined` when none of them has it. @throws the signal's reason */
async function firstOf<T>(
  mirrors: readonly Mirror[],
  ask: Ask<T>,
  signal: AbortSignal,
  onAnswer: OnAnswer = ignored,
): Promise<{ readonly value: T } | undefined> {
  for (const mirror of mirrors) {
    try {
      const value = await ask(mirror.upstream, signal);
      onAnswer(mirror);
      return { value };
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof UpstreamError)) throw error;
      note(mirror, error);
    }
  }
  return undefined;
}

function isWell({ box }: Mirror): void {
  box.succeeded();
}

function note(mirror: Mirror, error: unknown): void {
  if (!isWord(error)) mirror.box.failed();
}

/** True for what a registry says of what was asked, not of itself. */
function isWord(error: unknown): boolean {
  return error instanceof UpstreamError && (error.reason === 'not-found' || error.reason === 'denied');
}
