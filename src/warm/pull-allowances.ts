import type { RateLimitReport } from '../upstream/upstream-observer.ts';

/** Pulls that an upstream lets us make. */
export interface PullAllowance {
  readonly limit: number | undefined;
  readonly remaining: number;
}

/** Of one upstream; real ones have a few. */
const ACCOUNT_LIMIT = 100;

/** What upstreams said last of our pulls: told by whoever observes them, asked by whoever must not use them up. */
export class PullAllowances {
  readonly #accounts = new Map<string, Map<string, PullAllowance>>();

  report(upstream: string, { limit, remaining, account }: RateLimitReport): void {
    const accounts = this.#accounts.get(upstream) ?? new Map<string, PullAllowance>();
    this.#accounts.set(upstream, accounts);
    const known = accounts.get(account);
    const left = remaining ?? known?.remaining;
    if (left === undefined || (known === undefined && accounts.size >= ACCOUNT_LIMIT)) return;
    accounts.set(account, { limit: limit ?? known?.limit, remaining: left });
  }

  /** Of the account that has least left, for it is not known which one will be asked; `undefined`: nothing was said. */
  of(upstream: string): PullAllowance | undefined {
    const all = [...(this.#accounts.get(upstream)?.values() ?? [])];
    return all.toSorted((a, b) => a.remaining - b.remaining)[0];
  }

  /** What was said is old: until it is said again nothing is known. */
  forget(upstream: string): void {
    this.#accounts.delete(upstream);
  }
}
