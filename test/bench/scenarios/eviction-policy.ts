import type { Calculation, CalculationReport } from '../calculation.ts';
import { CHOSEN, PLAIN_LRU, POLICIES, S3_FIFO } from '../eviction/policies.ts';
import { type Replay, replay } from '../eviction/replay.ts';
import { makeTrace, type Trace } from '../eviction/trace.ts';
import { type Figure, tableLines, type Target } from '../figure.ts';

/** Of the footprint. */
const SIZES = [0.05, 0.1, 0.2, 0.4];
/** The size for which the columns are that do not fit for all. */
const MIDDLE = SIZES.indexOf(0.1);
/** A policy must not be right for one pace alone. The first one is also what --quick measures. */
const PACES = [
  { name: '60 days', days: 60, scans: true },
  { name: '8 days', days: 8, scans: true },
  { name: '240 days', days: 240, scans: true },
  { name: '60 days without scans', days: 60, scans: false },
];
const EVENTS = 12_000;
const SEEDS = [1, 2];
const QUICK_EVENTS = 5000;

/** By policy, then by size: the mean of the seeds. */
type Results = ReadonlyMap<string, readonly Replay[]>;

/** Which blobs to keep: the product's policy beside known ones, on the same pulls and in caches of the same sizes. */
export const evictionPolicy: Calculation = {
  name: 'eviction-policy',
  says: 'replay of generated pulls through simulated caches; shares of what was asked for, in percent',
  run({ quick }) {
    const lines: string[] = [];
    const byPace = PACES.slice(0, quick ? 1 : undefined).map(({ name, ...pace }) => {
      const events = quick ? QUICK_EVENTS : EVENTS;
      const traces = SEEDS.slice(0, quick ? 1 : undefined).map((seed) =>
        makeTrace({ ...pace, events, seed }),
      );
      const results = compare(traces);
      lines.push(`in ${name}: ${about(traces)}`, ...table(results), '');
      return { name, results };
    });
    return { lines, figures: figuresOf(byPace.map(({ results }) => results)), data: byPace.map(plain) };
  },
};

function compare(traces: readonly Trace[]): Results {
  return new Map(
    POLICIES.map((policy) => {
      const bySize = SIZES.map((share) =>
        mean(traces.map((trace) => replay(trace, policy.open(trace.items, share * trace.footprintBytes)))),
      );
      return [policy.name, bySize];
    }),
  );
}

function mean(replays: readonly Replay[]): Replay {
  const of = (key: keyof Replay) => replays.reduce((sum, one) => sum + one[key], 0) / replays.length;
  return {
    byteHits: of('byteHits'),
    wholeImageHits: of('wholeImageHits'),
    requestHits: of('requestHits'),
    upstreamManifests: of('upstreamManifests'),
  };
}

function about(traces: readonly Trace[]): string {
  const each = traces.map(({ pulls, footprintBytes }) => {
    const requests = pulls.reduce((sum, pull) => sum + pull.requests.length, 0);
    return `${pulls.length} pulls, ${requests} requests, ${Math.round(footprintBytes / 1e9)} GB`;
  });
  return each.join('; ');
}

function table(results: Results): readonly string[] {
  const sizes = SIZES.map((share) => `${share * 100} %`);
  const head = ['', ...sizes.map((size) => `bytes ${size}`), ...sizes.map((size) => `images ${size}`)];
  const middle = sizes[MIDDLE] ?? '';
  const rows = [...results].map(([name, bySize]) =>
    [name].concat(
      bySize.map(({ byteHits }) => percent(byteHits)),
      bySize.map(({ wholeImageHits }) => percent(wholeImageHits)),
      percent(bySize[MIDDLE]?.requestHits ?? Number.NaN),
      (bySize[MIDDLE]?.upstreamManifests ?? Number.NaN).toFixed(0),
    ),
  );
  return tableLines([[...head, `requests ${middle}`, `manifest GETs / 1000 pulls ${middle}`], ...rows]);
}

/** One value for each pace and size: how many points of a percent the product's policy is ahead. */
function figuresOf(paces: readonly Results[]): readonly Figure[] {
  const ahead = (key: 'byteHits' | 'wholeImageHits', other: string) =>
    paces.flatMap((results) =>
      SIZES.map((_, at) => {
        const [ours, theirs] = [results.get(CHOSEN)?.[at]?.[key], results.get(other)?.[at]?.[key]];
        return ((ours ?? Number.NaN) - (theirs ?? Number.NaN)) * 100;
      }),
    );
  const unit = 'points';
  return [
    { name: 'byte hits ahead of LRU', unit, values: ahead('byteHits', PLAIN_LRU), target: atLeast(1) },
    {
      name: 'whole images ahead of LRU',
      unit,
      values: ahead('wholeImageHits', PLAIN_LRU),
      target: atLeast(1),
    },
    { name: 'byte hits ahead of S3-FIFO', unit, values: ahead('byteHits', S3_FIFO), target: atLeast(0) },
    {
      name: 'whole images ahead of S3-FIFO',
      unit,
      values: ahead('wholeImageHits', S3_FIFO),
      target: atLeast(0),
    },
  ];
}

function atLeast(value: number): Target {
  return { is: 'at least', value };
}

function plain({ name, results }: { name: string; results: Results }): CalculationReport['data'] {
  return { name, sizes: SIZES, policies: Object.fromEntries(results) };
}

function percent(share: number): string {
  return (share * 100).toFixed(1);
}
