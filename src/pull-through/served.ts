import type { OutcomeReason } from './outcome-reason.ts';

/**
 * How a request was answered.
 * - `hit`: from the cache, without asking;
 * - `revalidated`: from the cache, after the upstream confirmed it;
 * - `stale`: from the cache, though the upstream could not be asked;
 * - `miss`: from the upstream, and cached;
 * - `joined`: from a transfer that another request had begun;
 * - `bypass`: from the upstream, and it could not be cached.
 */
export type Outcome = 'hit' | 'revalidated' | 'stale' | 'miss' | 'joined' | 'bypass';

export interface Served<T> {
  readonly value: T;
  readonly outcome: Outcome;
  /** Why it was no hit; absent on one. */
  readonly reason?: OutcomeReason | undefined;
  /** Since the upstream last confirmed a mutable answer. Absent on what is immutable. */
  readonly ageMs?: number | undefined;
  /** How long the same answer would be given without asking. Absent: it is immutable, or nobody can tell. */
  readonly freshForMs?: number | undefined;
}

/** What a request got that shared the work of another one: it was no miss of its own. */
export function asShared<T>(served: Served<T>, isShared: boolean): Served<T> {
  return isShared && served.outcome === 'miss'
    ? { ...served, outcome: 'joined', reason: 'in-flight' }
    : served;
}
