import type { ImageAvailability, Lack } from '../cache/image-availability.ts';
import type { FailedRequest, Rehearsal, RehearsalReport } from '../pull-through/offline-report.ts';
import { counted, printBytes } from '../quantity-text.ts';
import { textTable } from './text-table.ts';

/** An image that was asked about. */
export interface RehearsedImage extends ImageAvailability {
  /** In full. */
  readonly image: string;
  /** Where it was named. */
  readonly places: readonly string[];
}

/** How many of the images that were asked about are whole, and of those of each platform. */
export interface RehearsalSummary {
  readonly total: number;
  readonly whole: number;
  /** Rounded down: 100 when all of them are. */
  readonly percent: number;
  readonly byPlatform: readonly {
    readonly platform: string;
    readonly total: number;
    readonly whole: number;
  }[];
}

export function summaryOf(images: readonly RehearsedImage[]): RehearsalSummary {
  const whole = images.filter(({ state }) => state === 'whole').length;
  const byPlatform = new Map<string, { total: number; whole: number }>();
  for (const { platform, isWhole } of images.flatMap(({ platforms }) => platforms)) {
    const count = byPlatform.get(platform) ?? { total: 0, whole: 0 };
    byPlatform.set(platform, { total: count.total + 1, whole: count.whole + (isWhole ? 1 : 0) });
  }
  return {
    total: images.length,
    whole,
    percent: images.length === 0 ? 100 : Math.floor((whole / images.length) * 100),
    byPlatform: [...byPlatform]
      .map(([platform, { total, whole: some }]) => ({ platform, total, whole: some }))
      .toSorted((one, other) => other.whole - one.whole || (one.platform < other.platform ? -1 : 1)),
  };
}

/** What is not whole, and the summary. */
export function printImages(images: readonly RehearsedImage[]): string {
  const { total, whole, percent, byPlatform } = summaryOf(images);
  const rows = images
    .filter(({ state }) => state !== 'whole')
    .map((image) => [
      image.image,
      image.state === 'partly' ? 'partly' : 'not at all',
      whatIsMissing(image),
      image.places.filter((place) => place !== 'argument').join(' '),
    ]);
  const table =
    rows.length === 0 ? '' : `${textTable(['image', 'could be pulled', 'missing', 'named at'], rows)}\n`;
  const platforms = byPlatform.map((count) => `${count.platform} ${count.whole} of ${count.total}`);
  // One platform that nobody here pulls makes an image no worse for those who pull another.
  const hint = platforms.length > 1 && whole < total ? `Whole by platform: ${platforms.join(', ')}.\n` : '';
  return `${table}${whole} of ${total} could be pulled: ${percent} %\n${hint}`;
}

function whatIsMissing({ missing, platforms, atLeast, problem }: RehearsedImage): string {
  if (problem !== undefined) return problem;
  const lacking = platforms.filter(({ isWhole }) => !isWhole);
  const isAll = lacking.length === platforms.length;
  const which = lacking.length === 0 ? '' : isAll ? 'every platform' : lacking.map(nameOf).join(', ');
  const what = `${atLeast ? 'at least ' : ''}${printLack(missing)}`;
  return which === '' ? what : `${which}: ${what}`;
}

function nameOf({ platform }: { readonly platform: string }): string {
  return platform;
}

function printLack({ manifests, blobs, bytes }: Lack): string {
  const parts = [
    ...(manifests > 0 ? [counted(manifests, 'manifest')] : []),
    ...(blobs > 0 ? [counted(blobs, 'blob')] : []),
  ];
  return `${parts.join(' and ')}, ${printBytes(bytes)}`;
}

/** What failed: of what goes on, and of what ended last. */
export function printFailures({ running, last }: RehearsalReport): string {
  return [running, last].map((rehearsal) => (rehearsal === undefined ? '' : printOne(rehearsal))).join('');
}

function printOne({
  begunAt,
  endedAt,
  upstreams,
  isConfigured,
  requests,
  failures,
  unlisted,
}: Rehearsal): string {
  const time =
    endedAt === undefined
      ? `since ${new Date(begunAt).toISOString()}`
      : `from ${new Date(begunAt).toISOString()} to ${new Date(endedAt).toISOString()}`;
  const why = isConfigured ? ', by configuration' : '';
  const head = `Offline ${time}${why} (${upstreams.join(', ')}): ${counted(failures, 'request')} failed.\n`;
  const more = unlisted === 0 ? '' : `And ${counted(unlisted, 'request')} more, of other things.\n`;
  const table =
    requests.length === 0
      ? ''
      : textTable(
          ['upstream', 'repository', 'kind', 'reference', 'requests', 'first', 'last'],
          requests.toSorted((one, other) => other.count - one.count).map(rowOf),
        );
  return `${head}${table}${more}\n`;
}

function rowOf({ upstream, repository, kind, reference, count, firstAt, lastAt }: FailedRequest): string[] {
  return [
    upstream,
    repository,
    kind,
    reference ?? '-',
    String(count),
    new Date(firstAt).toISOString(),
    new Date(lastAt).toISOString(),
  ];
}
