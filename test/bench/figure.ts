/** What a scenario measured: one value for each round, and what the median of them should be. */
export interface Figure {
  readonly name: string;
  readonly unit: string;
  readonly values: readonly number[];
  readonly target?: Target;
}

export interface Target {
  /** Compared with the median, but `exactly` with every value. */
  readonly is: 'at most' | 'at least' | 'exactly';
  readonly value: number;
}

export interface Summary {
  readonly median: number;
  readonly min: number;
  readonly max: number;
  /** Absent where nothing is aimed at. */
  readonly met?: boolean;
}

export function summarise({ values, target }: Figure): Summary {
  const sorted = values.toSorted((a, b) => a - b);
  const [min, max] = [sorted[0] ?? Number.NaN, sorted.at(-1) ?? Number.NaN];
  const middle = median(values);
  if (!target) return { median: middle, min, max };
  const met = {
    'at most': middle <= target.value,
    'at least': middle >= target.value,
    exactly: min === target.value && max === target.value,
  }[target.is];
  return { median: middle, min, max, met };
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const half = sorted.length / 2;
  const [low, high] = [sorted[Math.ceil(half) - 1], sorted[Math.floor(half)]];
  return ((low ?? Number.NaN) + (high ?? Number.NaN)) / 2;
}

/** Nearest rank: `share` 0.99 is the 99th percentile. NaN without values. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? Number.NaN;
}

/** `a[i] / b[i]`, the ratio of two series of the same rounds. */
export function ratios(a: readonly number[], b: readonly number[]): readonly number[] {
  return a.map((value, round) => value / (b[round] ?? Number.NaN));
}

/** Lines of a table with a column each for figure, median, range and target. */
export function figureLines(figures: readonly Figure[]): readonly string[] {
  const rows = figures.map((figure) => {
    const { median: middle, min, max, met } = summarise(figure);
    const target = figure.target ? `${figure.target.is} ${figure.target.value}` : '';
    const verdict = met === undefined ? '' : met ? 'met' : 'MISSED';
    const range = figure.values.length > 1 ? `${print(min)} – ${print(max)}` : '';
    return [figure.name, `${print(middle)} ${figure.unit}`.trim(), range, target, verdict];
  });
  return tableLines([['', 'median', 'min – max', 'target', ''], ...rows]);
}

/** Columns as wide as their widest cell; the first one to the left, the others too. */
export function tableLines(rows: readonly (readonly string[])[]): readonly string[] {
  const columns = Math.max(...rows.map((row) => row.length));
  const widths = Array.from({ length: columns }, (_, column) =>
    Math.max(...rows.map((row) => row[column]?.length ?? 0)),
  );
  return rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  );
}

function print(value: number): string {
  if (Math.abs(value) >= 1000) return Math.round(value).toString();
  return Math.abs(value) >= 100 ? value.toFixed(1) : value.toFixed(2);
}
