import type { Slices } from './slices.ts';

/** Sorted at once. */
const RUN_COUNT = 512;
/** Steps between looks at the time. */
const STEP_COUNT = 512;

/** A sorted copy; as `toSorted`, but without holding anybody up. Stable. */
export async function sortedInSlices<T>(
  items: readonly T[],
  compare: (one: T, other: T) => number,
  slices: Slices,
): Promise<readonly T[]> {
  let runs: T[][] = [];
  for (let at = 0; at < items.length; at += RUN_COUNT) {
    if (slices.isOver) await slices.rest();
    runs.push(items.slice(at, at + RUN_COUNT).toSorted(compare));
  }
  while (runs.length > 1) {
    const merged: T[][] = [];
    for (let at = 0; at < runs.length; at += 2)
      merged.push(await mergedInSlices(runs[at] ?? [], runs[at + 1] ?? [], compare, slices));
    runs = merged;
  }
  return runs[0] ?? [];
}

async function mergedInSlices<T>(
  one: readonly T[],
  other: readonly T[],
  compare: (one: T, other: T) => number,
  slices: Slices,
): Promise<T[]> {
  const merged: T[] = [];
  let [left, right] = [0, 0];
  for (;;) {
    if (merged.length % STEP_COUNT === 0 && slices.isOver) await slices.rest();
    const [first, second] = [one[left], other[right]];
    const isFirst = right >= other.length || (left < one.length && compare(first as T, second as T) <= 0);
    if (left >= one.length && right >= other.length) return merged;
    merged.push((isFirst ? first : second) as T);
    if (isFirst) left += 1;
    else right += 1;
  }
}
