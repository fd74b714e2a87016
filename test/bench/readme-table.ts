import { type Figure, print, summarise } from './figure.ts';

/** The README's table: a row for each figure that has a place in it, a column for each contestant. */

export interface MeasuredOn {
  readonly date: string;
  readonly machine: string;
  readonly load: string;
  readonly rounds: number;
  /** What prints the same table elsewhere. */
  readonly command: string;
}

/** Markdown; empty when no figure has a place in it. A cell is the median, of who was not measured a dash. */
export function readmeTable(figures: readonly Figure[], on: MeasuredOn): readonly string[] {
  const rows = new Map<string, Map<string, string>>();
  for (const figure of figures) {
    if (figure.row === undefined || figure.of === undefined) continue;
    const name = figure.unit === '' ? figure.row : `${figure.row}, ${figure.unit}`;
    const cells = rows.get(name) ?? new Map<string, string>();
    rows.set(name, cells.set(figure.of, print(summarise(figure).median)));
  }
  if (rows.size === 0) return [];
  const contestants = [...new Set(figures.flatMap(({ of, row }) => (row === undefined ? [] : (of ?? []))))];
  const lines = [line(['', ...contestants]), line(['---', ...contestants.map(() => '---:')])];
  for (const [name, cells] of rows)
    lines.push(line([name, ...contestants.map((of) => cells.get(of) ?? '–')]));
  return [
    ...lines,
    '',
    `Medians of ${on.rounds} rounds on ${on.date}; ${on.machine}; load average ${on.load}. Command: \`${on.command}\`.`,
  ];
}

function line(cells: readonly string[]): string {
  return `| ${cells.join(' | ')} |`;
}
