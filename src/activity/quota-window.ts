import type { Clock } from '../clock.ts';
import type { RateLimitReport } from '../upstream/upstream-observer.ts';
import type { UpstreamStanding } from './upstream-standing.ts';

export type Quota = UpstreamStanding['quotas'][number];

/** Accounts of one upstream; real ones have a few. */
const ACCOUNT_LIMIT = 100;
const ANONYMOUS = 'anonymous';

interface Told {
  readonly quota: Quota;
  /** Where the registry does not say when its window ends: the latest time, if it began with what was told first of it. */
  readonly windowEndsAt: number | undefined;
}

/**
 * What an upstream said of its pull quota, by account. Registries say how long their window is and not when it began;
 * it began no later than when less was left for the first time, so that it ends no later than a window after that.
 */
export class QuotaWindows {
  readonly #clock: Pick<Clock, 'now'>;
  readonly #accounts = new Map<string, Told>();

  constructor(clock: Pick<Clock, 'now'>) {
    this.#clock = clock;
  }

  /** Accounts beyond the first hundred are passed over. @returns what is known now */
  told({ account, limit, remaining, windowMs, resetInMs }: RateLimitReport): Quota | undefined {
    const known = this.#accounts.get(account);
    if (known === undefined && this.#accounts.size >= ACCOUNT_LIMIT) return undefined;
    const now = this.#clock.now();
    const before = known?.quota;
    const window = windowMs ?? before?.windowMs;
    const left = remaining ?? before?.remaining;
    const isNewWindow =
      known?.windowEndsAt === undefined ||
      known.windowEndsAt <= now ||
      (left !== undefined && before?.remaining !== undefined && left > before.remaining);
    const guessed = isNewWindow && window !== undefined ? now + window : known?.windowEndsAt;
    const resetsAt = resetInMs === undefined ? guessed : now + resetInMs;
    const quota = {
      ...(account !== ANONYMOUS && { account }),
      limit: limit ?? before?.limit,
      remaining: left,
      windowMs: window,
      resetsAt,
      checkedAt: now,
    };
    this.#accounts.set(account, { windowEndsAt: guessed, quota });
    return quota;
  }

  get all(): readonly Quota[] {
    return [...this.#accounts.values()].map(({ quota }) => quota);
  }
}
