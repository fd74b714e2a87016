import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { bytesSource, sourcePieces } from './byte-source.ts';
import type { FaultAction } from './fault.ts';
import { generatedBlob } from './generated-blob.ts';
import type { RecordedRequest } from './recorded-request.ts';
import type { Reply } from './reply.ts';

/** Where a reply goes, and what it is noted in. `left` aborts when the connection is gone. */
export interface Exchange {
  readonly response: ServerResponse;
  readonly socket: Socket;
  /** Ends the connection by RST, under TLS too. */
  readonly reset: () => void;
  readonly record: RecordedRequest;
  readonly left: AbortSignal;
}

/** How often a throttled body is fed. */
const THROTTLE_STEP_MS = 20;

/** How long after the last byte a body is reset. */
const RESET_DELAY_MS = 10;

/** Puts `reply` on the wire as `action` spoils it. Resolves when that is done or the client has left. */
export async function sendReply(exchange: Exchange, reply: Reply, action: FaultAction): Promise<void> {
  const { response, record, socket } = exchange;
  const plain = action.gzip === true ? gzipped(reply) : reply;
  writeHead(exchange, plain, action);
  if (record.method !== 'HEAD') {
    const whole = await sendBody(exchange, spoiledBody(plain, action), action);
    if (!whole) return;
  }
  await new Promise<void>((resolve) => {
    response.once('close', resolve);
    response.end(resolve);
  });
  record.finished = !exchange.left.aborted;
  if (action.trailing !== undefined) socket.write(action.trailing);
}

function gzipped(reply: Reply): Reply {
  const body = Buffer.concat([...sourcePieces(reply.content, reply.start, reply.end)]);
  return {
    status: reply.status,
    headers: { ...reply.headers, 'content-encoding': 'gzip' },
    content: bytesSource(gzipSync(body)),
  };
}

function writeHead({ response, record }: Exchange, reply: Reply, action: FaultAction): void {
  const length = (reply.end ?? reply.content.size) - (reply.start ?? 0);
  const bodiless = reply.status === 204 || reply.status === 304;
  const sized =
    action.declaredLength !== undefined ||
    (reply.sized !== false && (action.framing ?? 'length') === 'length' && action.endless !== true);
  const headers = {
    ...reply.headers,
    ...(sized && !bodiless ? { 'content-length': String(action.declaredLength ?? length) } : {}),
    ...action.headers,
  };
  response.statusCode = reply.status;
  for (const [name, value] of Object.entries(headers)) {
    if (value !== undefined) response.setHeader(name, value);
  }
  if (action.framing === 'close') {
    response.setHeader('connection', 'close');
    response.removeHeader('transfer-encoding');
  }
  record.status = reply.status;
  // A fault after so many bytes of the body supposes that the headers have arrived.
  if (action.cutAfter !== undefined || action.stallAfter !== undefined) response.flushHeaders();
}

function* spoiledBody(reply: Reply, action: FaultAction): Generator<Uint8Array> {
  const start = reply.start ?? 0;
  const end = reply.end ?? reply.content.size;
  const extra = action.extraBytes ?? 0;
  let position = start;
  for (const piece of sourcePieces(reply.content, start, Math.max(start, end + Math.min(0, extra)))) {
    const flip = action.flipBitAt === undefined ? -1 : action.flipBitAt - position;
    yield flip >= 0 && flip < piece.length ? withFlippedBit(piece, flip) : piece;
    position += piece.length;
  }
  if (extra > 0) yield Buffer.alloc(extra, 'x');
  if (action.endless === true) {
    const more = generatedBlob({ size: 1024 * 1024, seed: 0 });
    for (;;) yield* sourcePieces(more);
  }
}

function withFlippedBit(piece: Uint8Array, at: number): Uint8Array {
  const copy = Uint8Array.from(piece);
  copy[at] = (copy[at] ?? 0) ^ 1;
  return copy;
}

/** True when all of it was written and the response may be ended. */
async function sendBody(
  exchange: Exchange,
  body: Iterable<Uint8Array>,
  action: FaultAction,
): Promise<boolean> {
  const { cutAfter = Infinity, stallAfter, bytesPerSecond } = action;
  const stallAt = stallAfter?.bytes ?? Infinity;
  let stalled = false;
  let sent = 0;
  const step =
    bytesPerSecond === undefined ? Infinity : Math.ceil((bytesPerSecond * THROTTLE_STEP_MS) / 1000);
  for (const piece of body) {
    for (let rest = piece; rest.length > 0;) {
      if (sent >= cutAfter) return cut(exchange, action);
      if (sent >= stallAt && !stalled) {
        stalled = true;
        await stallAfter?.gate.pass(exchange.left);
      }
      const next = stalled ? Infinity : stallAt - sent;
      const part = rest.subarray(0, Math.min(rest.length, cutAfter - sent, next, step));
      if (!(await write(exchange, part))) return false;
      sent += part.length;
      rest = rest.subarray(part.length);
      if (step !== Infinity) await delay(THROTTLE_STEP_MS);
    }
  }
  // A stall behind the last byte: the body is there, its end is not (chunked and close framing show the difference).
  if (!stalled && sent >= stallAt) await stallAfter?.gate.pass(exchange.left);
  return sent >= cutAfter ? cut(exchange, action) : true;
}

async function cut({ socket, reset }: Exchange, action: FaultAction): Promise<false> {
  if (action.cutWith === 'reset') {
    // libuv reports data and an RST that are pending together as an end: let the data be read first.
    await delay(RESET_DELAY_MS);
    reset();
  } else {
    socket.destroy();
  }
  return false;
}

/** Resolves when the kernel has taken the bytes; false when the connection is gone. */
async function write({ response, record, left }: Exchange, bytes: Uint8Array): Promise<boolean> {
  if (left.aborted) return false;
  record.bodyBytes += bytes.length;
  const written = await new Promise<boolean>((resolve) => {
    const leave = (): void => resolve(false);
    left.addEventListener('abort', leave);
    response.write(bytes, (error) => {
      left.removeEventListener('abort', leave);
      resolve(!(error instanceof Error));
    });
  });
  if (!written) record.bodyBytes -= bytes.length;
  return written;
}
