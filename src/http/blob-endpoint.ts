import type { OutgoingHttpHeaders } from 'node:http';
import type { Content } from '../content/content.ts';
import type { Interval } from '../content/intervals.ts';
import type { RepositoryKey } from '../metadata/metadata-store.ts';
import type { Digest } from '../oci/digest.ts';
import { OciError } from '../oci/error.ts';
import type { Blob, Selection } from '../pull-through/blobs.ts';
import type { PullThrough } from '../pull-through/pull-through.ts';
import { contentRange, MultipartFrame, sendStretch } from './blob-body.ts';
import { errorBody } from './error-response.ts';
import type { Exchange } from './exchange.ts';
import { allowsPartial, matchesEtag, parseRange, type ParsedRange } from './range.ts';
import { cacheHeader } from './served-headers.ts';

/**
 * Stretches of a blob that is not stored, each of which may cost a request upstream. With more the answer is 400, upon
 * which lazy pullers ask again for fewer (416 or 501 would end their pull).
 */
const COLD_RANGE_LIMIT = 16;

/** Stored blobs up to this size are read whole before they are sent: configs, and layers of next to nothing. */
const SMALL_BYTES = 64 * 1024;

/** `GET` and `HEAD /v2/<name>/blobs/<digest>`. */
export async function serveBlob(
  exchange: Exchange,
  pullThrough: PullThrough,
  key: RepositoryKey,
  digest: Digest,
): Promise<void> {
  const etag = `"${digest}"`;
  const isUnchanged = matchesEtag(exchange.header('if-none-match'), etag);
  const headers = {
    'Content-Type': 'application/octet-stream',
    'Docker-Content-Digest': digest,
    ETag: etag,
    'Accept-Ranges': 'bytes',
    'X-Content-Type-Options': 'nosniff',
  };
  if (exchange.isHead || isUnchanged) {
    const served = await pullThrough.blobSize(key, digest, exchange.signal);
    const { value, outcome } = served;
    exchange.served(served);
    const cache = cacheHeader({ outcome });
    if (isUnchanged) exchange.endWithoutBody(304, { ...headers, ...cache });
    else exchange.endWithoutBody(200, { ...headers, ...cache, 'Content-Length': value });
    return;
  }
  const range = allowsPartial(exchange.header('if-range'), etag) ? exchange.header('range') : undefined;
  if (range === undefined || parseRange(range, 1).kind === 'none') {
    await sendWhole(exchange, pullThrough, key, digest, headers);
  } else {
    await sendRanges(exchange, pullThrough, { key, digest, range, headers });
  }
}

async function sendWhole(
  exchange: Exchange,
  pullThrough: PullThrough,
  key: RepositoryKey,
  digest: Digest,
  headers: OutgoingHttpHeaders,
): Promise<void> {
  const served = await pullThrough.blob(key, digest, undefined, exchange.signal);
  const { value, outcome } = served;
  exchange.served(served);
  const { content, sizeBytes } = value;
  if (content === undefined) throw new Error('a blob was opened without its content');
  try {
    if (outcome === 'hit' && sizeBytes <= SMALL_BYTES) {
      const bytes = await readSmall(content, exchange.signal);
      exchange.end(200, { ...headers, ...cacheHeader({ outcome }) }, bytes);
      return;
    }
    const head = { status: 200, headers: { ...headers, ...cacheHeader({ outcome }) } };
    await sendOne(exchange, content, { start: 0, end: sizeBytes }, head);
    noteBypass(exchange, value);
  } finally {
    content.close();
  }
}

async function readSmall(content: Content, signal: AbortSignal): Promise<Buffer> {
  const { sizeBytes } = content;
  const bytes = Buffer.allocUnsafe(sizeBytes);
  for (let position = 0; position < sizeBytes;) {
    const chunk = await content.read(position, sizeBytes - position, signal);
    bytes.set(chunk.bytes, position);
    position += chunk.bytes.length;
    chunk.release();
  }
  return bytes;
}

/** A body that is one stretch: who the request came through may be able to send it for himself. */
async function sendOne(
  exchange: Exchange,
  content: Content,
  stretch: Interval,
  { status, headers }: { readonly status: number; readonly headers: OutgoingHttpHeaders },
): Promise<void> {
  const { start, end } = stretch;
  const position = await exchange.carry(status, headers, () => content.atRest?.(), stretch);
  if (position === undefined) {
    const sendHead = () => exchange.head(status, { ...headers, 'Content-Length': end - start });
    await sendStretch(exchange, content, stretch, sendHead);
  } else {
    if (position === end) return;
    content.gave?.(start, position);
    await sendStretch(exchange, content, { start: position, end }, () => undefined);
  }
  exchange.response.end();
}

/** A blob that turned out not to be cacheable while it was sent. */
function noteBypass(exchange: Exchange, { bypassReason }: Blob): void {
  const reason = bypassReason?.();
  if (reason !== undefined) exchange.served({ outcome: 'bypass', reason });
}

interface RangeRequest {
  readonly key: RepositoryKey;
  readonly digest: Digest;
  readonly range: string;
  readonly headers: OutgoingHttpHeaders;
}

async function sendRanges(
  exchange: Exchange,
  pullThrough: PullThrough,
  request: RangeRequest,
): Promise<void> {
  let parsed: ParsedRange = { kind: 'unsatisfiable' };
  const select: Selection = (sizeBytes, isStored) => {
    parsed = parseRange(request.range, sizeBytes);
    if (parsed.kind !== 'ranges') return undefined;
    if (!isStored && parsed.ranges.length > COLD_RANGE_LIMIT) {
      throw new OciError(
        'RANGE_INVALID',
        `this blob is not cached yet: ask for ${COLD_RANGE_LIMIT} ranges at most`,
      );
    }
    return parsed.ranges;
  };
  const served = await pullThrough.blob(request.key, request.digest, select, exchange.signal);
  const { value, outcome } = served;
  exchange.served(served);
  const headers = { ...request.headers, ...cacheHeader({ outcome }) };
  const { content, sizeBytes } = value;
  const ranges = rangesOf(parsed);
  if (content === undefined || ranges === undefined) {
    const error = {
      code: 'RANGE_INVALID',
      message: 'no part of this blob is within what was asked',
    } as const;
    exchange.end(
      416,
      {
        ...cacheHeader({ outcome }),
        'Content-Type': 'application/json',
        'Content-Range': `bytes */${sizeBytes}`,
        'Accept-Ranges': 'bytes',
      },
      errorBody(error),
    );
    return;
  }
  try {
    const [only, ...others] = ranges;
    if (only !== undefined && others.length === 0) {
      const range = { 'Content-Range': contentRange(only, sizeBytes) };
      await sendOne(exchange, content, only, { status: 206, headers: { ...headers, ...range } });
    } else {
      const frame = new MultipartFrame(ranges, sizeBytes);
      for (const { range, head } of frame.parts) {
        await sendStretch(exchange, content, range, () => {
          if (exchange.firstByteAt === undefined) {
            exchange.head(206, {
              ...headers,
              'Content-Type': frame.contentType,
              'Content-Length': frame.length,
            });
          }
          exchange.response.write(head);
        });
      }
      exchange.response.write(frame.tail);
      exchange.response.end();
    }
    noteBypass(exchange, value);
  } finally {
    content.close();
  }
}

function rangesOf(parsed: ParsedRange): readonly Interval[] | undefined {
  return parsed.kind === 'ranges' ? parsed.ranges : undefined;
}
