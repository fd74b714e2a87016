import type { SavingsReport } from '../activity/activity-events.ts';
import { parseDuration } from '../config-text.ts';
import type { CommandIo } from './command-io.ts';
import { counted, printAge, printBytes, printShare } from '../quantity-text.ts';
import { printJson, runOnStore, type StoreCommandOptions } from './store-command.ts';
import { textTable } from './text-table.ts';
import { UsageError } from './usage-error.ts';

export interface ReportOptions extends StoreCommandOptions {
  readonly since?: string;
  readonly top?: string;
}

const LONGEST_MS = 3650 * 86_400_000;
const TOP_LIMIT = 1000;

/** What the cache spared. @returns the exit code */
export async function report(
  { since = '30d', top = '10', ...options }: ReportOptions,
  io: CommandIo,
): Promise<number> {
  return runOnStore(
    options,
    io,
    () => {
      const sinceMs = parseDuration(since);
      if (sinceMs === undefined || sinceMs < 1 || sinceMs > LONGEST_MS)
        throw new UsageError(
          `--since ${since}: accepted is a duration such as 12h, 7d or 30d, 3650d at most`,
        );
      const rows = /^\d{1,4}$/.test(top) ? Number(top) : 0;
      if (rows < 1 || rows > TOP_LIMIT)
        throw new UsageError(`--top ${top}: accepted is a number from 1 to ${TOP_LIMIT}`);
      return { sinceMs, top: rows };
    },
    async (asked, { activity, signal }) => {
      const found = await activity.report(asked, signal);
      if (options.json === true) printJson(found, io);
      else io.stdout.write(print(found));
      return 0;
    },
  );
}

function print(found: SavingsReport): string {
  const tables = [
    summary(found),
    usageTable(
      'upstream',
      found.byUpstream.map(({ upstream, ...sums }) => ({ name: upstream, ...sums })),
    ),
    usageTable(
      'image',
      found.topImages.map(({ image, ...sums }) => ({ name: image, ...sums })),
    ),
    usageTable(
      'client',
      found.topClients.map(({ client, ...sums }) => ({ name: client, ...sums })),
    ),
    unusedTable(found),
  ];
  return tables.filter((table) => table !== '').join('\n');
}

function summary(found: SavingsReport): string {
  const { keptSince, since, until } = found;
  const kept = keptSince === undefined ? '' : `, kept since ${day(keptSince)}`;
  const share = found.sharedShare;
  const rows = [
    ['period', `${day(since)} to ${day(until)} (UTC)${kept}`],
    ['pulls', `${amount(found.pulls)}, ${amount(found.pullsAvoided)} of them not asked upstream`],
    [
      'requests',
      `${amount(found.requests)}, ${printShare(found.hits, found.requests)} answered from the cache`,
    ],
    ['failed', `${counted(found.failures, 'answer')}: 5xx, 429, or broken off`],
    [
      'sent to clients',
      `${printBytes(found.bytes)}, ${printShare(found.hitBytes, found.bytes)} from the cache`,
    ],
    ['from upstreams', `${printBytes(found.upstreamBytes)} in ${counted(found.upstreamPulls, 'pull')}`],
    ['avoided', `${printBytes(found.bytesAvoided)} and ${counted(found.pullsAvoided, 'pull')}`],
    ['time saved', `about ${time(found.timeSavedMs)}: ${found.timeSavedAssumption}`],
    ...(share === undefined
      ? []
      : [['shared', `${printShare(share, 1)} of what stored images need is stored for several at once`]]),
    ...(found.unusedCount === 0
      ? []
      : [['unused since', `${counted(found.unusedCount, 'image')}, ${printBytes(found.unusedBytes)}`]]),
  ];
  return textTable(['', ''], rows).replace(/^\n/, '');
}

interface Sums {
  readonly name: string;
  readonly requests: number;
  readonly pulls: number;
  readonly bytes: number;
  readonly hits: number;
  readonly failures: number;
  readonly hitBytes: number;
}

function usageTable(what: string, rows: readonly Sums[]): string {
  if (rows.length === 0) return '';
  const cells = rows.map(({ name, requests, pulls, bytes, hits, failures, hitBytes }) => [
    name,
    amount(pulls),
    amount(requests),
    printShare(hits, requests),
    amount(failures),
    printBytes(bytes),
    printShare(hitBytes, bytes),
  ]);
  return textTable([what, 'pulls', 'requests', 'hits', 'failed', 'bytes', 'hit bytes'], cells);
}

function unusedTable({ unused, until }: SavingsReport): string {
  if (unused.length === 0) return '';
  const rows = unused.map(({ image, bytes, usedAt }) => [image, printBytes(bytes), printAge(usedAt, until)]);
  return textTable(['unused image', 'would free', 'last use'], rows);
}

function day(at: number): string {
  return new Date(at).toISOString().slice(0, 10);
}

function amount(count: number): string {
  return count.toLocaleString('en-US');
}

function time(ms: number): string {
  const minutes = Math.round(ms / 60_000);
  if (minutes < 1) return `${Math.round(ms / 1000)} s`;
  if (minutes < 120) return `${minutes} min`;
  return `${amount(Math.round(minutes / 60))} h`;
}
