import type { Plan } from './segment-plan.ts';
import { Segment, type SegmentHost } from './segment.ts';
import type { SplitShare } from './split-shares.ts';

export interface SegmentRunsParts {
  readonly host: SegmentHost;
  readonly signal: AbortSignal;
  readonly share: SplitShare;
  /** Called when one is over, after it has left `running`; `failure`: what ended it before its end. */
  readonly onOver: (segment: Segment, failure: { readonly error: unknown } | undefined) => void;
}

/** The transfers of one fill that are under way. */
export class SegmentRuns {
  readonly #parts: SegmentRunsParts;
  readonly #running = new Set<Segment>();
  readonly #work = new Set<Promise<void>>();
  #hasAnswered = false;

  constructor(parts: SegmentRunsParts) {
    this.#parts = parts;
  }

  get running(): ReadonlySet<Segment> {
    return this.#running;
  }

  /** @param running what the plan was made for @param expectedBytes the size of the whole blob, as far as it is known */
  carryOut({ starts, cuts }: Plan, running: readonly Segment[], expectedBytes: number | undefined): void {
    for (const { index, end } of cuts) {
      const segment = running[index];
      if (segment !== undefined) segment.end = end;
    }
    for (const range of starts) {
      const segment = new Segment(
        this.#parts.host,
        { ...range, expectedBytes, hasAnswered: this.#hasAnswered },
        this.#parts.signal,
      );
      this.#running.add(segment);
      const work = this.#run(segment).finally(() => this.#work.delete(work));
      this.#work.add(work);
    }
  }

  /**
   * What a tentative one brings, the others need not; but it gives way to one that is there already. Its upstream has
   * answered it as it was asked.
   */
  answered(segment: Segment): void {
    this.#hasAnswered = true;
    if (!segment.isTentative) return;
    segment.isTentative = false;
    for (const other of this.#running) {
      if (other === segment || other.end <= segment.position) continue;
      if (other.position < segment.position) other.end = segment.position;
      else if (other.position < segment.end) segment.end = segment.position;
    }
  }

  /** Resolves when none is under way. */
  async over(): Promise<void> {
    await Promise.all(this.#work);
  }

  async #run(segment: Segment): Promise<void> {
    const { share, onOver } = this.#parts;
    let failure: { readonly error: unknown } | undefined;
    share.begun();
    try {
      await segment.run();
    } catch (error) {
      failure = { error };
    }
    share.ended();
    this.#running.delete(segment);
    onOver(segment, failure);
  }
}
