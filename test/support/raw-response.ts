/** A response as it was on the wire, taken apart but not interpreted. */
export interface RawMessage {
  /** Empty when none came. */
  readonly statusLine: string;
  /** The status line's number; `undefined` when there is none. */
  readonly status: number | undefined;
  /** Names as sent and values, in order. */
  readonly headers: readonly (readonly [name: string, value: string])[];
  /** Without chunk framing. */
  readonly body: Buffer;
  /** Whether all of it is there by its own framing. */
  readonly whole: boolean;
  /** Bytes of the stream that belong to it, so far. */
  readonly size: number;
}

/**
 * Takes the first response off the front of `bytes`, by RFC 9112 §6.3. `hasBody`: false for the answer to a HEAD.
 * `closed`: the connection was closed after these bytes, which ends a body that has no other end.
 */
export function parseRawResponse(
  bytes: Buffer,
  { hasBody, closed }: { readonly hasBody: boolean; readonly closed: boolean },
): RawMessage {
  const end = bytes.indexOf('\r\n\r\n');
  const head = bytes.subarray(0, Math.max(end, 0)).toString('latin1').split('\r\n');
  const statusLine = head[0] ?? '';
  const headers = head.slice(1).map((line): readonly [string, string] => {
    const colon = line.indexOf(':');
    return [line.slice(0, colon), line.slice(colon + 1).trim()];
  });
  const found = /^HTTP\/1\.[01] (\d{3})/.exec(statusLine)?.[1];
  const status = found === undefined ? undefined : Number(found);
  const head_ = { statusLine, status, headers };
  if (end < 0) return { ...head_, body: Buffer.alloc(0), whole: false, size: bytes.length };
  const body = bytes.subarray(end + 4);
  const sized = (taken: Buffer, whole: boolean, size: number): RawMessage => ({
    ...head_,
    body: taken,
    whole,
    size: end + 4 + size,
  });
  if (!hasBody || status === 204 || status === 304) return sized(Buffer.alloc(0), true, 0);
  if (/\bchunked$/i.test(rawHeader(head_, 'transfer-encoding') ?? '')) {
    const { content, whole, size } = unchunk(body);
    return sized(content, whole, size);
  }
  const length = rawHeader(head_, 'content-length');
  if (length === undefined) return sized(body, closed, body.length);
  const taken = body.subarray(0, Number(length));
  return sized(taken, taken.length === Number(length), taken.length);
}

/** The first header of that name, whatever its case. */
export function rawHeader(message: Pick<RawMessage, 'headers'>, name: string): string | undefined {
  return message.headers.find(([found]) => found.toLowerCase() === name)?.[1];
}

function unchunk(bytes: Buffer): { content: Buffer; whole: boolean; size: number } {
  const chunks: Buffer[] = [];
  for (let position = 0; ;) {
    const lineEnd = bytes.indexOf('\r\n', position);
    const length = Number.parseInt(bytes.subarray(position, Math.max(lineEnd, position)).toString(), 16);
    const start = lineEnd + 2;
    if (lineEnd < 0 || Number.isNaN(length)) {
      return { content: Buffer.concat(chunks), whole: false, size: bytes.length };
    }
    chunks.push(bytes.subarray(start, start + length));
    if (bytes.length < start + length + 2) {
      return { content: Buffer.concat(chunks), whole: false, size: bytes.length };
    }
    position = start + length + 2;
    if (length === 0) return { content: Buffer.concat(chunks), whole: true, size: position };
  }
}
