import { OURS, type Outcome } from './contest.ts';
import { type Figure, ratios, type Target } from './figure.ts';

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
export function standings(outcome: Outcome, metrics: readonly Metric[]): readonly Figure[] {
  const contestants = [...outcome.samples.keys()];
  return metrics.flatMap(({ key, name, unit, row }) => {
    const shown = row === undefined ? { name, unit } : { name, unit, row };
    return contestants.map((of) => Object.assign({ of, values: valuesOf(outcome, of, key) }, shown));
  });
}

/** entrepot's divided by those of each other one, round by round; `targets` by the other's name. */
export function ratiosOf(
  outcome: Outcome,
  { key, name }: Pick<Metric, 'key' | 'name'>,
  targets: Readonly<Record<string, Target>> = {},
): readonly Figure[] {
  const others = [...outcome.samples.keys()].filter((other) => other !== OURS);
  return others.map((other) => {
    const values = ratios(valuesOf(outcome, OURS, key), valuesOf(outcome, other, key));
    const figure = { name: `${OURS} ÷ ${other}, ${name}`, unit: '×', values };
    const target = targets[other];
    return target ? Object.assign(figure, { target }) : figure;
  });
}

/** The values of one contestant; none when it was not measured. */
export function valuesOf({ samples }: Outcome, of: string, key: string): readonly number[] {
  return (samples.get(of) ?? []).map((sample) => sample[key] ?? Number.NaN);
}
