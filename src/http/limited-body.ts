import type { Context, MiddlewareHandler } from 'hono';

/** What was read to find out how long it is, as long as its request lives. */
const texts = new WeakMap<Request, string>();

/** The body as text. */
export async function bodyTextOf({ req }: Context): Promise<string> {
  return texts.get(req.raw) ?? req.text();
}

/**
 * Takes no more than so many bytes of a body, however it is framed: hono's own limit makes a new request of ours where no
 * length is declared, which the server's requests do not allow.
 * @param tooLarge the answer to more
 */
export function limitedBody(maxBytes: number, tooLarge: () => Response): MiddlewareHandler {
  return async (c, next) => {
    const isFramed = c.req.header('transfer-encoding') === undefined;
    const declared = c.req.header('content-length');
    if (isFramed && declared === undefined) {
      // RFC 9112 section 6.3: a request without either has no body.
      texts.set(c.req.raw, '');
      return next();
    }
    if (isFramed) return Number(declared) > maxBytes ? tooLarge() : next();
    const text = await textWithin(c.req.raw.body, maxBytes);
    if (text === undefined) return tooLarge();
    texts.set(c.req.raw, text);
    return next();
  };
}

async function textWithin(
  body: ReadableStream<Uint8Array> | null,
  maxBytes: number,
): Promise<string | undefined> {
  const pieces: Uint8Array[] = [];
  let bytes = 0;
  const reader = body?.getReader();
  for (;;) {
    const { done, value } = (await reader?.read()) ?? { done: true, value: undefined };
    if (done) return Buffer.concat(pieces).toString();
    bytes += value.length;
    if (bytes > maxBytes) {
      await reader?.cancel();
      return undefined;
    }
    pieces.push(value);
  }
}
