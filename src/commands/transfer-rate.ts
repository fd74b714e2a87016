import type { Clock } from '../clock.ts';

const WINDOW_MS = 5000;

/** Bytes a second, of the last few seconds. */
export class TransferRate {
  readonly #clock: Pick<Clock, 'monotonic'>;
  #samples: { readonly atMs: number; readonly bytes: number }[] = [];

  constructor(clock: Pick<Clock, 'monotonic'>) {
    this.#clock = clock;
  }

  /** @param bytes all so far */
  add(bytes: number): void {
    const atMs = this.#clock.monotonic();
    const recent = this.#samples.filter((sample) => atMs - sample.atMs <= WINDOW_MS);
    this.#samples = [...recent, { atMs, bytes }];
  }

  /** 0 while nothing is known. */
  get perSecond(): number {
    const [first] = this.#samples;
    const last = this.#samples.at(-1);
    if (first === undefined || last === undefined || last.atMs <= first.atMs) return 0;
    return Math.max(0, ((last.bytes - first.bytes) * 1000) / (last.atMs - first.atMs));
  }
}
