/** Half-open: `start` is in it, `end` is not. Positions in bytes. */
export interface Interval {
  readonly start: number;
  readonly end: number;
}

/** A set of byte positions, kept as sorted intervals that neither touch nor overlap. */
export class Intervals {
  #list: Interval[] = [];

  get list(): readonly Interval[] {
    return this.#list;
  }

  /** How many positions are in the set. */
  get total(): number {
    return this.#list.reduce((sum, { start, end }) => sum + end - start, 0);
  }

  /** Adds all of `[start, end)`, whatever of it is there already. An empty interval changes nothing. */
  add(start: number, end: number): void {
    if (end <= start) return;
    const last = this.#list.at(-1);
    if (last !== undefined && last.end === start) {
      this.#list[this.#list.length - 1] = { start: last.start, end };
      return;
    }
    const before = this.#list.filter((interval) => interval.end < start);
    const after = this.#list.filter((interval) => interval.start > end);
    const touched = this.#list.slice(before.length, this.#list.length - after.length);
    const merged = {
      start: Math.min(start, touched[0]?.start ?? start),
      end: Math.max(end, touched.at(-1)?.end ?? end),
    };
    this.#list = [...before, merged, ...after];
  }

  /** End of the run of positions that holds `position`; `position` itself when it is not in the set. */
  endAt(position: number): number {
    return this.#list.find(({ start, end }) => start <= position && position < end)?.end ?? position;
  }

  /** Where the first interval after `position` begins; `undefined` when there is none. */
  nextStart(position: number): number | undefined {
    return this.#list.find(({ start }) => start > position)?.start;
  }
}
