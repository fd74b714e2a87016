/** What a scenario measured: one value for each round, and what the median of them should be. */
export interface Figure {
  readonly name: string;
  readonly unit: string;
  readonly values: readonly number[];
  readonly target?: Target;
  /** Of which contestant, where several were measured. */
  readonly of?: string;
  /** Its name in the README's table, where it stands there. */
  readonly row?: string;
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

/**
 * Contestants first, a line each with a column for each of their figures; then a table of the others with a column each
 * for figure, median, range and target.
 */
export function figureLines(figures: readonly Figure[]): readonly string[] {
  const compared = figures.filter(({ of }) => of !== undefined);
  const others = figures.filter(({ of }) => of === undefined);
  const lines = compared.length > 0 ? [...contestantLines(compared), ''] : [];
  if (others.length === 0) return lines.slice(0, -1);
  const rows = others.map((figure) => {
    const { median: middle, met } = summarise(figure);
    const target = figure.target ? `${figure.target.is} ${figure.target.value}` : '';
    const verdict = met === undefined ? '' : met ? 'met' : 'MISSED';
    return [figure.name, `${print(middle)} ${figure.unit}`.trim(), range(figure), target, verdict];
  });
  return [...lines, ...tableLines([['', 'median', 'min – max', 'target', ''], ...rows])];
}

/** Beside each other as many columns as a screen has room for. */
const COLUMNS = 5;

function contestantLines(figures: readonly Figure[]): readonly string[] {
  const heads = [...new Set(figures.map(columnOf))];
  const lines: string[] = [];
  while (heads.length > 0) {
    if (lines.length > 0) lines.push('');
    lines.push(...contestantTable(figures, heads.splice(0, COLUMNS)));
  }
  return lines;
}

function contestantTable(figures: readonly Figure[], heads: readonly string[]): readonly string[] {
  const rows: string[][] = [];
  for (const name of new Set(figures.map(({ of = '' }) => of))) {
    const cells = heads.map((head) =>
      cellOf(figures.find((figure) => figure.of === name && columnOf(figure) === head)),
    );
    rows.push([name, ...cells]);
  }
  return tableLines([['', ...heads], ...rows]);
}

function cellOf(figure: Figure | undefined): string {
  if (!figure) return '';
  const middle = print(summarise(figure).median);
  return figure.values.length > 1 ? `${middle} (${range(figure)})` : middle;
}

function columnOf({ name, unit }: Figure): string {
  return unit === '' ? name : `${name}, ${unit}`;
}

function range(figure: Figure): string {
  const { min, max } = summarise(figure);
  return figure.values.length > 1 ? `${print(min)} – ${print(max)}` : '';
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

/** Three digits or more. */
export function print(value: number): string {
  if (Math.abs(value) >= 1000) return Math.round(value).toString();
  return Math.abs(value) >= 100 ? value.toFixed(1) : value.toFixed(2);
}
