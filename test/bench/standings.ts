import { OURS, type Outcome } from './contest.ts';
import type { Figure, Target } from './figure.ts';

/** What a contest measured, as figures: those of every contestant, and entrepot's as ratios of the others'. */

export interface Metric {
  /** In samples. */
  readonly key: string;
  readonly name: string;
  readonly unit: string;
  /** Whether it stands in the README's table, and under what name. */
  readonly row?: string;
}

/** For each metric a figure of each contestant that was measured. */
export function standings({ samples }: Outcome, metrics: readonly Metric[]): readonly Figure[] {
  return metrics.flatMap(({ key, name, unit, row }) =>
    [...samples].map(([of, series]) => ({
      name,
      unit,
      of,
      values: series.map((sample) => sample[key] ?? Number.NaN),
      ...(row !== undefined && { row }),
    })),
  );
}

/** entrepot's divided by those of each other one, round by round; `targets` by the other's name. */
export function ratiosOf(
  { samples }: Outcome,
  { key, name }: Pick<Metric, 'key' | 'name'>,
  targets: Readonly<Record<string, Target>> = {},
): readonly Figure[] {
  const ours = samples.get(OURS) ?? [];
  return [...samples]
    .filter(([other]) => other !== OURS)
    .map(([other, theirs]) => {
      const target = targets[other];
      return {
        name: `${OURS} ÷ ${other}, ${name}`,
        unit: '×',
        values: ours.map(
          (sample, round) => (sample[key] ?? Number.NaN) / (theirs[round]?.[key] ?? Number.NaN),
        ),
        ...(target && { target }),
      };
    });
}

/** The values of one contestant; none when it was not measured. */
export function valuesOf({ samples }: Outcome, of: string, key: string): readonly number[] {
  return (samples.get(of) ?? []).map((sample) => sample[key] ?? Number.NaN);
}
