import type { Interval } from '../content/intervals.ts';
import { OciError } from '../oci/error.ts';

/** More stretches than any lazy puller asks for at once; the header's size bounds them too. */
const RANGE_COUNT_LIMIT = 4096;

/**
 * - `none`: there is no range to honour (no header, or a unit that is not bytes, RFC 9110 §14.2);
 * - `unsatisfiable`: nothing of what is asked lies within the content, or the text is no range (→ 416);
 * - `ranges`: the stretches to send, sorted, apart from each other, within the content.
 */
export type ParsedRange =
  | { readonly kind: 'none' }
  | { readonly kind: 'unsatisfiable' }
  | { readonly kind: 'ranges'; readonly ranges: readonly Interval[] };

/**
 * Reads a `Range` header for content of `sizeBytes` (RFC 9110 §14.1.2). Stretches that overlap or touch become one, so
 * an answer is never longer than the content and its part headers.
 * @throws OciError `RANGE_INVALID` for more stretches than the limit
 */
export function parseRange(header: string | undefined, sizeBytes: number): ParsedRange {
  const set = /^\s*bytes\s*=(.*)$/i.exec(header ?? '')?.[1];
  if (set === undefined) return { kind: 'none' };
  const specs = set
    .split(',')
    .map((spec) => spec.trim())
    .filter((spec) => spec !== '');
  if (specs.length > RANGE_COUNT_LIMIT) {
    throw new OciError('RANGE_INVALID', `a request may name ${RANGE_COUNT_LIMIT} ranges at most`);
  }
  const intervals: Interval[] = [];
  for (const spec of specs) {
    const interval = parseSpec(spec, sizeBytes);
    if (interval === 'malformed') return { kind: 'unsatisfiable' };
    if (interval !== undefined) intervals.push(interval);
  }
  return intervals.length === 0 ? { kind: 'unsatisfiable' } : { kind: 'ranges', ranges: joined(intervals) };
}

/** `undefined`: well formed, but beyond the content. */
function parseSpec(spec: string, sizeBytes: number): Interval | undefined | 'malformed' {
  // Clients that want "to the end" send the largest number that they know, which may be beyond what counts exactly here.
  const [, first, last] = /^([0-9]*)-([0-9]*)$/.exec(spec) ?? [];
  if (first === undefined || last === undefined || (first === '' && last === '')) return 'malformed';
  if (first === '') {
    const start = Math.max(0, sizeBytes - Number(last));
    return start < sizeBytes ? { start, end: sizeBytes } : undefined;
  }
  if (last !== '' && Number(last) < Number(first)) return 'malformed';
  const start = Number(first);
  const end = last === '' ? sizeBytes : Math.min(Number(last) + 1, sizeBytes);
  return start < sizeBytes ? { start, end } : undefined;
}

function joined(intervals: readonly Interval[]): readonly Interval[] {
  const result: Interval[] = [];
  for (const interval of intervals.toSorted((a, b) => a.start - b.start)) {
    const last = result.at(-1);
    if (last === undefined || interval.start > last.end) result.push(interval);
    else result[result.length - 1] = { start: last.start, end: Math.max(last.end, interval.end) };
  }
  return result;
}

/** Does `If-Range` allow a partial answer? Only with exactly this strong entity tag (RFC 9110 §13.1.5); we send no dates. */
export function allowsPartial(ifRange: string | undefined, etag: string): boolean {
  return ifRange === undefined || ifRange.trim() === etag;
}

/** Does `If-None-Match` name this entity tag? Weak comparison (RFC 9110 §13.1.2). */
export function matchesEtag(ifNoneMatch: string | undefined, etag: string): boolean {
  if (ifNoneMatch === undefined) return false;
  const tags = new Set(ifNoneMatch.split(',').map((tag) => tag.trim().replace(/^W\//, '')));
  return tags.has(etag) || tags.has('*');
}
