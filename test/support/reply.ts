import type { IncomingHttpHeaders } from 'node:http';
import { type ByteSource, bytesSource } from './byte-source.ts';
import type { FaultAction } from './fault.ts';

/** An answer before it is put on the wire. */
export interface Reply {
  readonly status: number;
  /** Lower-case names. Content-Length is added from the range unless the fault says otherwise. */
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  readonly content: ByteSource;
  /** What of the content is the body; absent = all. */
  readonly start?: number | undefined;
  /** Exclusive. */
  readonly end?: number | undefined;
  /** False: no Content-Length, so a GET is chunked and a HEAD says nothing. Default true. */
  readonly sized?: boolean | undefined;
}

export function textReply(status: number, body = '', headers: Reply['headers'] = {}): Reply {
  const type = body === '' ? {} : { 'content-type': 'text/plain; charset=utf-8' };
  return { status, headers: { ...type, ...headers }, content: bytesSource(Buffer.from(body)) };
}

export function jsonReply(status: number, body: unknown, headers: Reply['headers'] = {}): Reply {
  return textReply(status, JSON.stringify(body), { 'content-type': 'application/json', ...headers });
}

/** An error as the distribution spec words it. */
export function errorReply(status: number, code: string, headers: Reply['headers'] = {}): Reply {
  const message = code.toLowerCase().replaceAll('_', ' ');
  return jsonReply(status, { errors: [{ code, message, detail: null }] }, headers);
}

/**
 * The whole content, or the one range that was asked for (RFC 9110 §14): `bytes=a-b`, `bytes=a-` and `bytes=-n`, under
 * `If-Range`. Several ranges or another unit: the whole, as the RFC allows.
 */
export function contentReply(
  full: Reply & { readonly etag: string },
  requestHeaders: IncomingHttpHeaders,
  action: FaultAction,
): Reply {
  const size = full.content.size;
  const whole = { ...full, headers: { ...full.headers, etag: full.etag, 'accept-ranges': 'bytes' } };
  if (action.serveRange) return partial(whole, action.serveRange);
  const ifRange = requestHeaders['if-range'];
  if (action.ignoreRange === true || (ifRange !== undefined && ifRange !== full.etag)) return whole;
  const found = /^bytes=(\d*)-(\d*)$/.exec(requestHeaders.range ?? '');
  if (found === null || (found[1] === '' && found[2] === '')) return whole;
  const first = found[1] === '' ? Math.max(0, size - Number(found[2])) : Number(found[1]);
  const last = found[1] === '' || found[2] === '' ? size - 1 : Math.min(Number(found[2]), size - 1);
  if (first >= size || (found[1] === '' && Number(found[2]) === 0)) {
    return errorReply(416, 'RANGE_INVALID', { 'content-range': `bytes */${size}` });
  }
  return last < first ? whole : partial(whole, { start: first, end: last + 1 });
}

function partial(whole: Reply, { start, end }: { start: number; end: number }): Reply {
  const contentRange = `bytes ${start}-${end - 1}/${whole.content.size}`;
  return { ...whole, status: 206, headers: { ...whole.headers, 'content-range': contentRange }, start, end };
}
