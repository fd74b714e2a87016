import { parseContentRange } from './content-range.ts';
import type { TransportResponse } from './exchange.ts';
import type { BlobRange, BlobTransfer } from './upstream.ts';
import { UpstreamError } from './upstream-error.ts';

/** Where the body of an answer lies within its blob. */
type Extent = Pick<BlobTransfer, 'start' | 'sizeBytes'>;

/**
 * What part of the blob a 200 or 206 carries. A 206 must start exactly where it was asked to, must not go beyond the
 * end that was asked, and must agree with its Content-Length (a resume at the wrong place doubles or loses bytes).
 * @throws UpstreamError `protocol`
 */
export function extentOf({ status, headers, url }: TransportResponse, asked: BlobRange): Extent {
  const length = headers.contentLength();
  if (status === 200) return { start: 0, sizeBytes: length };
  const wrong = (what: string): UpstreamError =>
    new UpstreamError('protocol', `${url.host} ${what}`, { status });
  if (status !== 206) throw wrong(`answered ${status} instead of a blob`);
  if (!isPartial(asked)) throw wrong('sent a part of a blob unasked');
  const range = parseContentRange(headers.one('content-range'));
  if (range === undefined) throw wrong('sent a part of a blob without a usable Content-Range');
  if (range.start !== asked.start) throw wrong('sent another part of a blob than was asked');
  if (asked.end !== undefined && range.end > asked.end) throw wrong('sent more of a blob than was asked');
  // "To the end" that stops short would look like a whole; with an unknown total nobody could tell.
  if (asked.end === undefined && range.total !== undefined && range.end !== range.total)
    throw wrong('stops before the end of the blob');
  if (length !== undefined && length !== range.end - range.start)
    throw wrong('sent a Content-Length that is not its Content-Range');
  return { start: range.start, sizeBytes: range.total };
}

/** `Range` and `If-Range` (RFC 9110 §13.1.5, §14.2) for what is wanted; none for the whole. */
export function rangeHeaders(range: BlobRange): Record<string, string> {
  if (!isPartial(range)) return {};
  const last = range.end === undefined ? '' : String(range.end - 1);
  const condition: Record<string, string> = range.etag === undefined ? {} : { 'if-range': range.etag };
  return { range: `bytes=${range.start}-${last}`, ...condition };
}

/** A strong entity tag, fit to be sent back. */
export function strongEtag(value: string | undefined): string | undefined {
  return value !== undefined && /^"[\x21\x23-\x7e]{1,256}"$/.test(value) ? value : undefined;
}

function isPartial({ start, end }: BlobRange): boolean {
  return start > 0 || end !== undefined;
}
