import type { SavingsReport } from './activity-events.ts';
import { addUpstreamSums, NO_UPSTREAM, noUpstreamSums, OTHERS, type UpstreamSums } from './usage-sums.ts';
import type { Traffic } from './traffic.ts';
import type { UsageRows } from './usage-rows.ts';

/** What of the report is read from the index. */
export type StoredFacts = Pick<SavingsReport, 'sharedShare' | 'unused' | 'unusedCount' | 'unusedBytes'>;

export interface ReportedPeriod {
  readonly since: number;
  readonly until: number;
  readonly keptSince?: number | undefined;
}

/** Put together. @param top rows of each list */
export function savingsReport(
  period: ReportedPeriod,
  rows: UsageRows,
  stored: StoredFacts,
  top: number,
): SavingsReport {
  const all = noUpstreamSums();
  for (const sums of rows.upstreams.values()) addUpstreamSums(all, sums);
  const { timeSavedMs, timeSavedAssumption } = timeSaved(rows.upstreams.values(), all);
  return {
    ...period,
    ...trafficOf(all),
    upstreamBytes: all.upstreamBytes,
    upstreamPulls: all.upstreamPulls,
    bytesAvoided: Math.max(0, all.bytes - all.upstreamBytes),
    pullsAvoided: Math.max(0, all.pulls - all.upstreamPulls),
    timeSavedMs,
    timeSavedAssumption,
    byUpstream: sorted(rows.upstreams).map(([name, sums]) =>
      Object.assign(trafficOf(sums), {
        upstream: name === NO_UPSTREAM ? 'none' : name,
        upstreamBytes: sums.upstreamBytes,
        upstreamPulls: sums.upstreamPulls,
      }),
    ),
    topImages: topOf(rows.images, top, (name) => name.endsWith('/')).map(([image, sums]) =>
      Object.assign(trafficOf(sums), { image: image.endsWith('/') ? `${image}(others)` : image }),
    ),
    topClients: topOf(rows.clients, top, (name) => name === OTHERS).map(([client, sums]) =>
      Object.assign(trafficOf(sums), { client: client === OTHERS ? '(others)' : client }),
    ),
    ...stored,
  };
}

function trafficOf({ requests, hits, failures, pulls, bytes, hitBytes }: Traffic): Traffic {
  return { requests, hits, failures, pulls, bytes, hitBytes };
}

/** Those with most bytes first. */
function sorted<T extends Traffic>(rows: ReadonlyMap<string, T>): readonly (readonly [string, T])[] {
  return [...rows].toSorted(
    ([a, x], [b, y]) => y.bytes - x.bytes || y.requests - x.requests || (a < b ? -1 : 1),
  );
}

/** What was counted together, since there were too many of them, stands last whatever it comes to. */
function topOf(
  rows: ReadonlyMap<string, Traffic>,
  top: number,
  isOthers: (name: string) => boolean,
): readonly (readonly [string, Traffic])[] {
  const all = sorted(rows);
  const named = all.filter(([name]) => !isOthers(name)).slice(0, top);
  return [...named, ...all.filter(([name]) => isOthers(name))];
}

/**
 * What the answers from the cache would have taken at the pace of those that were not, by upstream; where an upstream has
 * none of these, at the pace of all.
 */
function timeSaved(
  upstreams: Iterable<UpstreamSums>,
  all: UpstreamSums,
): Pick<SavingsReport, 'timeSavedMs' | 'timeSavedAssumption'> {
  const anyPace = bytesPerMs(all);
  const anySmall = smallMs(all);
  if (anyPace === undefined && anySmall === undefined)
    return { timeSavedMs: 0, timeSavedAssumption: 'nothing came from an upstream, so its pace is unknown' };
  let savedMs = 0;
  for (const sums of upstreams) {
    const pace = bytesPerMs(sums) ?? anyPace;
    if (pace !== undefined) savedMs += Math.max(0, sums.blobHitBytes / pace - sums.blobHitMs);
    const small = smallMs(sums) ?? anySmall;
    if (small !== undefined) savedMs += Math.max(0, sums.smallHits * small - sums.smallHitMs);
  }
  const paces = [
    ...(anyPace === undefined ? [] : [`blobs at ${(anyPace / 1000).toFixed(1)} MB/s`]),
    ...(anySmall === undefined ? [] : [`all else in ${Math.round(anySmall)} ms each`]),
  ];
  return {
    timeSavedMs: Math.round(savedMs),
    timeSavedAssumption:
      `answers from the cache would have come as those from upstreams did: ${paces.join(', ')} on average; ` +
      'added up over requests, also those side by side',
  };
}

function bytesPerMs({ blobMissBytes, blobMissMs }: UpstreamSums): number | undefined {
  return blobMissBytes > 0 && blobMissMs > 0 ? blobMissBytes / blobMissMs : undefined;
}

function smallMs({ smallMisses, smallMissMs }: UpstreamSums): number | undefined {
  return smallMisses > 0 ? smallMissMs / smallMisses : undefined;
}
