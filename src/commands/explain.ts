import { systemClock } from '../clock.ts';
import type { Explanation } from '../pull-through/explain-operations.ts';
import { printDuration } from './check-report.ts';
import type { CommandIo } from './command-io.ts';
import { shortDigest } from './images.ts';
import { counted, printAge, printBytes } from '../quantity-text.ts';
import { printJson, runOnStore, type StoreCommandOptions } from './store-command.ts';
import { textTable } from './text-table.ts';

/** Of what would be asked, that is printed; all of it with --json. */
const ASKS_SHOWN = 20;

/** How a reference would be answered now, and why. @returns the exit code; 1 when it would be refused */
export async function explain(image: string, options: StoreCommandOptions, io: CommandIo): Promise<number> {
  return runOnStore(
    options,
    io,
    () => image,
    async (text, { explain: operations, signal }) => {
      const found = await operations.explain(text, signal);
      if (options.json === true) printJson(found, io);
      else io.stdout.write(print(found));
      return found.answer.outcome === 'refused' ? 1 : 0;
    },
  );
}

function print(found: Explanation): string {
  const { image, answer, platforms } = found;
  const title = `${image}: ${answer.outcome.toUpperCase()}\n${answer.text}\n\n`;
  const rows = [...ruleRows(found), ...contentRows(found), ...costRows(found)];
  const table = textTable(['', ''], rows).replace(/^\n/, '');
  const parts = platforms.length === 0 ? '' : `\n${platformTable(platforms)}`;
  return `${title}${table}${parts}${asksText(found)}`;
}

type Row = readonly [string, string];

function ruleRows({ upstream, namedBy, rule, repository }: Explanation): readonly Row[] {
  const by = rule.decidedBy === undefined ? '' : `, by ${rule.decidedBy}`;
  return [
    [
      'upstream',
      `${upstream} (${namedBy === 'default' ? 'the default' : 'named'})${rule.isOffline ? ', offline' : ''}`,
    ],
    ['repository', repository],
    ['allowed', `${rule.isAllowed ? 'yes' : 'no'}${by}`],
    ...(rule.patterns.length === 0 ? [] : [['rules of', rule.patterns.join(', ')] as const]),
    ['tagTtl', rule.isImmutable ? 'never asked again (immutableTags)' : printDuration(rule.tagTtlMs)],
    ['maxStale', rule.maxStaleMs === 0 ? 'nothing stale' : printDuration(rule.maxStaleMs)],
  ];
}

function contentRows({ tag, manifest }: Explanation): readonly Row[] {
  const rows: Row[] = [];
  if (tag !== undefined) {
    const when = printAge(tag.checkedAt, systemClock.now());
    rows.push([
      'tag',
      `${shortDigest(tag.digest)}, confirmed ${when}${tag.isFresh ? '' : ', to be asked again'}`,
    ]);
  }
  if (manifest === undefined) return [...rows, ['manifest', 'not known here']];
  const { digest, mediaType, isStored, isHeld } = manifest;
  const state = isStored ? (isHeld ? 'stored' : 'stored, but not seen in this repository') : 'not stored';
  return [
    ...rows,
    ['manifest', `${digest}, ${state}`],
    ...(mediaType === undefined ? [] : [['type', mediaType] as const]),
  ];
}

function costRows({ quotaCost: { least, most }, fetchBytes, isFetchComplete }: Explanation): readonly Row[] {
  const pulls = least === most ? counted(least, 'pull') : `${least} to ${counted(most, 'pull')}`;
  return [
    ['quota', `${pulls} (manifests by GET, as Docker Hub counts them)`],
    ['to fetch', fetchText(fetchBytes, isFetchComplete)],
  ];
}

function fetchText(bytes: number, isComplete: boolean): string {
  const known = bytes === 0 ? 'nothing that is known of' : printBytes(bytes);
  if (isComplete) return known;
  const least = bytes === 0 ? 'not known' : `at least ${known}`;
  return `${least}, since manifests are not here that tell of blobs`;
}

function platformTable(platforms: Explanation['platforms']): string {
  const rows = platforms.map((found) => [
    found.platform ?? '-',
    shortDigest(found.digest),
    found.isWhole ? 'whole' : found.isStored ? 'in part' : 'missing',
    found.blobs === undefined ? '?' : `${found.blobs - found.missingBlobs.length} of ${found.blobs}`,
    found.bytes === undefined ? '?' : `${printBytes(found.presentBytes)} of ${printBytes(found.bytes)}`,
  ]);
  return textTable(['platform', 'manifest', 'is here', 'blobs', 'bytes'], rows);
}

function asksText({ asks, upstream, isFetchComplete }: Explanation): string {
  if (asks.length === 0) return '\nNobody would be asked.\n';
  const lines = asks
    .slice(0, ASKS_SHOWN)
    .map(
      ({ method, what, countsAsPull }) => `  ${method} ${what}${countsAsPull ? ' (counts as a pull)' : ''}`,
    );
  const more = asks.length > lines.length ? `  and ${asks.length - lines.length} more\n` : '';
  const rest = isFetchComplete ? '' : '  and what manifests list that are not here\n';
  return `\n${upstream} would be asked, for all of it:\n${lines.join('\n')}\n${more}${rest}`;
}
