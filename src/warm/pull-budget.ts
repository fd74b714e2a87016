import type { Clock } from '../clock.ts';
import type { PullReserve } from '../config.ts';
import { Condition } from '../pull-through/condition.ts';
import { SingleFlight } from '../pull-through/single-flight.ts';
import { UpstreamError } from '../upstream/upstream-error.ts';
import type { PullAllowance, PullAllowances } from './pull-allowances.ts';

export type BudgetEvent =
  | {
      readonly event: 'waiting';
      readonly upstream: string;
      readonly why: 'reserve' | 'rate-limited';
      /** Wall time. */
      readonly untilMs: number;
      readonly allowance?: PullAllowance | undefined;
      readonly reserve?: number | undefined;
    }
  | { readonly event: 'resumed'; readonly upstream: string };

export interface PullBudgetParts {
  readonly clock: Clock;
  readonly allowances: PullAllowances;
  readonly reserveOf: (upstream: string) => PullReserve;
}

/** Below the reserve the upstream is asked again so often how much is left. It does not say when it will be more. */
const LOOK_AGAIN_MS = 60_000;
/** The longer it takes, the rarer. */
const LOOK_RARELY_MS = 5 * 60_000;
/** A wait that ends so much later than the one that was told of is told of too. */
const NEWS_MS = 1_000;
/** Of a refusal that does not say how long; doubled each time, up to the longest. */
const FIRST_WAIT_MS = 5_000;
const LONGEST_WAIT_MS = 15 * 60_000;
/** Longer than any registry's window: then whoever waits is told that it failed. */
const PATIENCE_MS = 24 * 60 * 60_000;

/**
 * Keeps warming from using up what upstreams let us pull, for all its runs together: below the reserve it waits until
 * there is more, and a refusal (429) is waited out. What clients pull is none of its business.
 */
export class PullBudget {
  readonly #parts: PullBudgetParts;
  readonly #flights = new SingleFlight();
  readonly #listeners = new Set<(event: BudgetEvent) => void>();
  /** Pulls on their way, whose answers have not told yet what is left. */
  readonly #taken = new Map<string, number>();
  readonly #answered = new Condition();
  /** Until when, wall time. */
  readonly #waiting = new Map<string, number>();

  constructor(parts: PullBudgetParts) {
    this.#parts = parts;
  }

  /** What upstreams said last. */
  allowanceOf(upstream: string): PullAllowance | undefined {
    return this.#parts.allowances.of(upstream);
  }

  /** @returns what ends the listening */
  listen(listener: (event: BudgetEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * Does what costs a pull, as soon as one may be made; again after the upstream refused it for now.
   * @param look asks the upstream for something that costs nothing, so that it tells what is left
   * @throws what the work throws; UpstreamError `rate-limited` after a day of waiting; the signal's reason
   */
  async pull<T>(
    upstream: string,
    work: () => Promise<T>,
    look: (signal: AbortSignal) => Promise<void>,
    signal: AbortSignal,
  ): Promise<T> {
    return this.patiently(
      upstream,
      async () => {
        await this.#take(upstream, look, signal);
        try {
          return await work();
        } finally {
          this.#taken.set(upstream, this.#takenOf(upstream) - 1);
          this.#answered.notify();
        }
      },
      signal,
    );
  }

  /** Does what costs no pull; again after the upstream refused it for now (429). */
  async patiently<T>(upstream: string, work: () => Promise<T>, signal: AbortSignal): Promise<T> {
    const { clock } = this.#parts;
    const giveUpMs = clock.monotonic() + PATIENCE_MS;
    for (let tries = 0; ; tries += 1) {
      signal.throwIfAborted();
      try {
        return await work();
      } catch (error) {
        const isRefusal = error instanceof UpstreamError && error.reason === 'rate-limited';
        if (!isRefusal || clock.monotonic() >= giveUpMs) throw error;
        const leastMs = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** tries);
        const waitMs = error.retryAfterMs ?? leastMs;
        // What says 0, and refuses again, is believed less each time.
        await this.#wait(upstream, 'rate-limited', tries === 0 ? waitMs : Math.max(waitMs, leastMs), signal);
      }
      this.#resumed(upstream);
    }
  }

  /** Resolves when the upstream may be asked for one more, which is counted from the moment that this is found out. */
  async #take(
    upstream: string,
    look: (signal: AbortSignal) => Promise<void>,
    signal: AbortSignal,
  ): Promise<void> {
    const { clock, allowances } = this.#parts;
    const giveUpMs = clock.monotonic() + PATIENCE_MS;
    for (let looks = 0; !this.#mayPull(upstream);) {
      if (this.#takenOf(upstream) > 0 && !this.#isShort(upstream)) {
        await this.#answered.wait(signal);
        continue;
      }
      if (clock.monotonic() >= giveUpMs)
        throw new UpstreamError(
          'rate-limited',
          'a day went by, and no more pulls are allowed than the reserve',
        );
      const waitMs = Math.min(LOOK_RARELY_MS, LOOK_AGAIN_MS * 2 ** looks);
      looks += 1;
      await this.#flights.run(
        `look ${upstream}`,
        async (shared) => {
          await this.#wait(upstream, 'reserve', waitMs, shared);
          const before = allowances.of(upstream);
          allowances.forget(upstream);
          try {
            await look(shared);
          } catch (error) {
            // What cannot be asked now is asked again.
            if (!(error instanceof UpstreamError)) throw error;
            const { limit, remaining } = before ?? {};
            allowances.report(upstream, { limit, remaining, account: 'unknown' });
          }
        },
        signal,
      );
    }
    this.#taken.set(upstream, this.#takenOf(upstream) + 1);
    this.#resumed(upstream);
  }

  #mayPull(upstream: string): boolean {
    const allowance = this.allowanceOf(upstream);
    if (allowance === undefined) return true;
    return allowance.remaining - this.#takenOf(upstream) > this.#reserve(upstream, allowance);
  }

  /** Whatever the answers under way may say. */
  #isShort(upstream: string): boolean {
    const allowance = this.allowanceOf(upstream);
    return allowance !== undefined && allowance.remaining <= this.#reserve(upstream, allowance);
  }

  /** Never all that there is: nothing would ever be warmed. */
  #reserve(upstream: string, { limit }: PullAllowance): number {
    const reserve = this.#parts.reserveOf(upstream);
    if ('pulls' in reserve) return limit === undefined ? reserve.pulls : Math.min(reserve.pulls, limit - 1);
    return Math.min(Math.ceil(reserve.share * (limit ?? 0)), Math.max(0, (limit ?? 1) - 1));
  }

  async #wait(
    upstream: string,
    why: 'reserve' | 'rate-limited',
    ms: number,
    signal: AbortSignal,
  ): Promise<void> {
    const { clock } = this.#parts;
    const allowance = this.allowanceOf(upstream);
    const reserve = allowance && this.#reserve(upstream, allowance);
    const untilMs = clock.now() + ms;
    // Many wait for the same.
    if (untilMs >= (this.#waiting.get(upstream) ?? 0) + NEWS_MS)
      this.#tell({ event: 'waiting', upstream, why, untilMs, allowance, reserve });
    this.#waiting.set(upstream, Math.max(untilMs, this.#waiting.get(upstream) ?? 0));
    await clock.sleep(ms, signal);
  }

  #resumed(upstream: string): void {
    if (this.#waiting.delete(upstream)) this.#tell({ event: 'resumed', upstream });
  }

  #tell(event: BudgetEvent): void {
    for (const listener of this.#listeners) listener(event);
  }

  #takenOf(upstream: string): number {
    return this.#taken.get(upstream) ?? 0;
  }
}
