import type { WarmEvent } from '../warm/warm-events.ts';
import { counted, printBytes } from '../quantity-text.ts';
import { durationText, failureText } from './warm-text.ts';

type Done = Extract<WarmEvent, { event: 'done' }>;
type Failed = Extract<WarmEvent, { event: 'failed' }>;

export interface WarmTrouble {
  readonly failures: readonly Failed[];
  readonly failureCount: number;
  readonly problems: number;
}

/** Failures that are listed once more at the end. */
export const LISTED_LIMIT = 50;

/**
 * What came of it, for a person.
 * @param failures the first `LISTED_LIMIT`, of `failureCount`
 * @param problems what was named and is no image
 */
export function warmSummary(done: Done, { failures, failureCount, problems }: WarmTrouble): string {
  const { images, dryRun, failures: reasons } = done;
  const lines = [dryRun ? wantedText(done) : fetchedText(done)];
  for (const { upstream, pulls, remaining, limit } of done.pulls) {
    const left = remaining === undefined ? '' : `; ${remaining} of ${limit ?? 'its'} pulls are left`;
    lines.push(`${upstream}: ${dryRun ? 'would take' : 'took'} ${counted(pulls, 'pull')}${left}.`);
  }
  const failed = images.failed + problems;
  if (failed > 0) {
    const byReason = reasons.map(({ reason, count }) => `${count} ${reason}`);
    if (problems > 0) byReason.push(`${problems} not to be read`);
    lines.push(`Failed: ${counted(failed, 'image')} (${byReason.join(', ')}).`);
    lines.push(...failures.map((failure) => `  ${failureText(failure)}`));
    const more = failureCount - failures.length;
    if (more > 0) lines.push(`  and ${more.toLocaleString('en-US')} more`);
  }
  return `${lines.join('\n')}\n`;
}

function fetchedText({ images, manifests, blobs, fetchedBytes, presentBytes, ms }: Done): string {
  const whole = `${images.whole} of ${counted(images.total, 'image')} ${images.whole === 1 || images.total === 1 ? 'is' : 'are'} in the cache`;
  const fetched = `${counted(manifests.fetched, 'manifest')} and ${counted(blobs.fetched, 'blob')} fetched, ${printBytes(fetchedBytes)}`;
  return `${whole}: ${fetched} in ${durationText(ms / 1000)}; ${printBytes(presentBytes)} were here.`;
}

function wantedText({ images, manifests, blobs, fetchedBytes, presentBytes, atLeast }: Done): string {
  const least = atLeast ? 'at least ' : '';
  const missing = `${counted(manifests.fetched, 'manifest')} and ${counted(blobs.fetched, 'blob')}, ${printBytes(fetchedBytes)}`;
  const nothing = manifests.fetched + blobs.fetched === 0;
  const lacks = nothing ? 'nothing is missing' : `missing are ${least}${missing}`;
  return `Of ${counted(images.total, 'image')} ${lacks}; ${printBytes(presentBytes)} are here. Nothing was fetched.`;
}
