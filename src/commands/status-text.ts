import type { StoreStatus } from '../cache/store-events.ts';
import { systemClock } from '../clock.ts';
import { counted, printAge, printBytes, printShare } from '../quantity-text.ts';
import { type FoundActivity, printActivity } from './status-activity.ts';
import { textTable } from './text-table.ts';

/** All that is told on one screen. */
export interface FoundStatus {
  readonly dataDir: string;
  readonly status: StoreStatus;
  /** Where a server runs. */
  readonly activity?: FoundActivity | undefined;
}

/** As people read it. */
export function printStatus({ dataDir, status, activity }: FoundStatus): string {
  return printStore(dataDir, status) + (activity === undefined ? '' : printActivity(activity));
}

function printStore(dataDir: string, found: StoreStatus): string {
  const now = systemClock.now();
  const { bytes, blobs, limitBytes, reservedBytes, pinned, quarantinedBytes, indexBytes } = found;
  const rows: (readonly [string, string])[] = [
    ['data directory', dataDir],
    ['server', found.isServed ? 'running' : 'none is running'],
    ['stored', `${printBytes(bytes)} in ${counted(blobs, 'blob')}`],
    ['limit', `${printBytes(limitBytes)} (${printShare(bytes, limitBytes)} used)`],
    ['reserved', printBytes(reservedBytes)],
    ['pinned', `${printBytes(pinned.bytes)} in ${counted(pinned.blobs, 'blob')}`],
    ['quarantined', printBytes(quarantinedBytes)],
    ['index', printBytes(indexBytes)],
    [
      'next to be evicted',
      found.nextVictimUsedAt === undefined ? '-' : `last used ${printAge(found.nextVictimUsedAt, now)}`,
    ],
    ...conditionRows(found, now),
    ...offlineRows(found),
    ...scheduleRows(found, now),
    ...reconcileRows(found),
    ...scrubRows(found, now),
  ];
  const shares = found.byUpstream.map((share) => [
    share.upstream,
    printBytes(share.bytes),
    share.limitBytes === undefined ? '-' : printBytes(share.limitBytes),
    share.blobs.toLocaleString('en-US'),
  ]);
  const table = shares.length === 0 ? '' : `\n${textTable(['upstream', 'stored', 'limit', 'blobs'], shares)}`;
  return textTable(['', ''], rows).replace(/^\n/, '') + table;
}

function conditionRows({ condition }: StoreStatus, now: number): readonly (readonly [string, string])[] {
  if (condition === undefined) return [];
  const since = condition.since === undefined ? '' : `, since ${printAge(condition.since, now)}`;
  return [
    ['condition', condition.isSound ? 'sound' : `in trouble: ${condition.reason ?? 'unknown'}${since}`],
  ];
}

function offlineRows({ offline = [] }: StoreStatus): readonly (readonly [string, string])[] {
  return offline.map(({ upstream, isConfigured, until }, at) => {
    const end = until === undefined ? 'until the server ends' : `until ${new Date(until).toISOString()}`;
    return [at === 0 ? 'offline' : '', `${upstream}, ${isConfigured ? 'by configuration' : end}`];
  });
}

function scheduleRows({ schedules = [] }: StoreStatus, now: number): readonly (readonly [string, string])[] {
  return schedules.map(({ name, isRunning, waitingUntil, nextAt, last }) => {
    const waits = waitingUntil === undefined ? '' : `, waits until ${new Date(waitingUntil).toISOString()}`;
    const next = nextAt === undefined ? '' : `next ${new Date(nextAt).toISOString()}`;
    const parts = [isRunning ? `running${waits}` : next, last === undefined ? '' : lastRun(last, now)];
    return [`warm ${name}`, parts.filter((part) => part !== '').join('; ') || 'never due'];
  });
}

type LastRun = NonNullable<NonNullable<StoreStatus['schedules']>[number]['last']>;

function lastRun(last: LastRun, now: number): string {
  const { outcome, images, failedImages, fetchedBytes, endedAt, problem } = last;
  const failed = failedImages === 0 ? '' : `, ${failedImages} failed`;
  const why = problem === undefined ? '' : `: ${problem}`;
  return `last ${outcome} ${printAge(endedAt, now)}, ${counted(images, 'image')}${failed}, ${printBytes(fetchedBytes)} fetched${why}`;
}

function reconcileRows({ reconcile }: StoreStatus): readonly (readonly [string, string])[] {
  if (reconcile === undefined) return [];
  const { phase, files, adopted, quarantined, dropped, unindexedBytes } = reconcile;
  if (phase === 'done' && files === 0) return [['reconcile', 'nothing to do']];
  const found = `${counted(files, 'file')}, ${adopted} adopted, ${quarantined} set aside, ${dropped} rows dropped`;
  const left = unindexedBytes > 0 ? `, ${printBytes(unindexedBytes)} to go` : '';
  return [['reconcile', `${phase}: ${found}${left}`]];
}

function scrubRows({ scrub }: StoreStatus, now: number): readonly (readonly [string, string])[] {
  if (scrub === undefined) return [];
  const { isRunning, files, bytes, damaged, endedAt, nextAt } = scrub;
  if (!isRunning && files === 0)
    return [['scrub', nextAt === undefined ? 'off' : `next ${new Date(nextAt).toISOString()}`]];
  const counts = `${counted(files, 'file')}, ${printBytes(bytes)}, ${damaged} damaged`;
  const when = endedAt === undefined ? '' : `, ended ${printAge(endedAt, now)}`;
  return [['scrub', isRunning ? `running: ${counts}` : `${counts}${when}`]];
}
