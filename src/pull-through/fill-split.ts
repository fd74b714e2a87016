import type { Clock } from '../clock.ts';
import type { Allowance } from './bandwidth.ts';
import type { Split } from './segment-plan.ts';
import type { SplitShare } from './split-shares.ts';
import { SPLIT_TICK_MS, SplitTrial } from './split-trial.ts';

/** Of less nothing would be left to split when the first measurement is done. */
const LEAST_BYTES = 16 * 1024 * 1024;

export interface FillSplitParts {
  readonly clock: Clock;
  readonly share: SplitShare;
  readonly presentBytes: () => number;
  readonly allowance: Pick<Allowance, 'heldBackMs'>;
  /** Called when there should be more transfers, or fewer. */
  readonly onChange: () => void;
}

/** Watches how fast one blob comes in, and says in how many transfers the rest should come. */
export class FillSplit {
  readonly #parts: FillSplitParts;
  readonly #ending = new AbortController();
  #trial: SplitTrial | undefined;

  constructor(parts: FillSplitParts) {
    this.#parts = parts;
  }

  /** From now on, until `end`. To be called once, when the size is known. */
  begin(sizeBytes: number): void {
    const { share } = this.#parts;
    if (sizeBytes < LEAST_BYTES || share.limit < 2 || this.#ending.signal.aborted) return;
    this.#trial = new SplitTrial({
      limit: () => share.limit,
      known: share.known,
      onSettled: (count) => share.learned(count),
    });
    void this.#watch(this.#trial, sizeBytes);
  }

  /** The upstream does not take it: nothing is split for a while, neither this blob nor others. */
  giveUp(): void {
    this.#trial = undefined;
    this.#parts.share.learned(1);
    this.end();
  }

  end(): void {
    this.#ending.abort();
  }

  /** @param running how many transfers of this blob there are now @returns undefined: one brings all the rest */
  plan(running: number): Split | undefined {
    if (this.#trial === undefined || this.#trial.count < 2) return undefined;
    const count = Math.min(this.#trial.count, running + this.#parts.share.spare);
    return { count, windowBytes: this.#trial.windowBytes };
  }

  async #watch(trial: SplitTrial, sizeBytes: number): Promise<void> {
    const { clock, presentBytes, allowance, onChange } = this.#parts;
    const { signal } = this.#ending;
    while (!signal.aborted) {
      const before = trial.count;
      const { active: busyMs } = performance.eventLoopUtilization();
      const { heldBackMs } = allowance;
      trial.tick({ atMs: clock.monotonic(), busyMs, heldBackMs, presentBytes: presentBytes(), sizeBytes });
      if (trial.count !== before) onChange();
      try {
        await clock.sleep(SPLIT_TICK_MS, signal);
      } catch {
        return;
      }
    }
  }
}
