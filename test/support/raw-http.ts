import { connect, type Socket } from 'node:net';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { parseRawResponse, type RawMessage } from './raw-response.ts';

/** What came back for raw bytes. */
export interface RawResult extends RawMessage {
  /**
   * `complete`: the first response is whole by its own framing. Otherwise, `closed-early`: the server closed before
   * it was whole; `reset`: it reset the connection before it was; `open`: neither within the time given.
   */
  readonly ended: 'complete' | 'closed-early' | 'reset' | 'open';
  /** Whether the server closed the connection; a `complete` response is followed for `settleMs` to know. */
  readonly closed: boolean;
  /** What came behind the first response. */
  readonly rest: Buffer;
  /** Everything that came. */
  readonly received: Buffer;
}

export interface RawOptions {
  /** How long to wait for a whole response, at least. Default 10,000. */
  readonly timeoutMs?: number;
  /** How long to watch the connection after a whole response. Default 100. */
  readonly settleMs?: number;
  /** Close our half after the last byte. Default false. */
  readonly end?: boolean;
}

const ENDS = ['end', 'error', 'close'];
const LATE_TURNS = 20;

/** Sends the pieces, each in a write of its own, over one new connection, and tells what came back. Never rejects. */
export async function sendRaw(
  address: { readonly port: number; readonly hostname?: string },
  pieces: string | Uint8Array | readonly (string | Uint8Array)[],
  options: RawOptions = {},
): Promise<RawResult> {
  const list = typeof pieces === 'string' || pieces instanceof Uint8Array ? [pieces] : pieces;
  const hasBody = !Buffer.from(list[0] ?? '')
    .toString('latin1')
    .startsWith('HEAD ');
  const socket = connect({ port: address.port, host: address.hostname ?? '127.0.0.1', noDelay: true });
  const heard = new Heard(socket);
  try {
    for (const piece of list) {
      socket.write(piece);
      await nextTurn();
    }
    if (options.end === true) socket.end();
    const read = (): RawMessage =>
      parseRawResponse(Buffer.concat(heard.chunks), { hasBody, closed: heard.over === 'closed' });
    const deadlineMs = performance.now() + (options.timeoutMs ?? 10_000);
    const isAwaited = (): boolean => !read().whole && heard.over === undefined;
    while (isAwaited() && performance.now() < deadlineMs) {
      await heard.next(['data', ...ENDS], deadlineMs - performance.now());
    }
    await turnsWhile(isAwaited);
    if (heard.over === undefined && read().whole) {
      await heard.next(ENDS, options.settleMs ?? 100);
      await turnsWhile(() => heard.over === undefined);
    }
    const message = read();
    const received = Buffer.concat(heard.chunks);
    const broken = heard.over === 'reset' ? 'reset' : heard.over === 'closed' ? 'closed-early' : 'open';
    return {
      ...message,
      ended: message.whole ? 'complete' : broken,
      closed: heard.over !== undefined,
      rest: received.subarray(message.size),
      received,
    };
  } finally {
    socket.destroy();
  }
}

/** A busy machine may leave a server of this process no turn of the event loop until the time is over. */
async function turnsWhile(isAwaited: () => boolean): Promise<void> {
  for (let turn = 0; turn < LATE_TURNS && isAwaited(); turn += 1) await nextTurn();
}

/** Gathers what a socket says. */
class Heard {
  readonly chunks: Buffer[] = [];
  over: 'closed' | 'reset' | undefined;
  readonly #socket: Socket;

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('data', (chunk) => this.chunks.push(chunk));
    socket.on('end', () => (this.over ??= 'closed'));
    socket.on('error', () => (this.over ??= 'reset'));
    socket.on('close', () => (this.over ??= 'closed'));
  }

  /** Resolves at the next of `events`, or after `ms`. */
  async next(events: readonly string[], ms: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const wake = (): void => {
        clearTimeout(timer);
        for (const event of events) this.#socket.off(event, wake);
        resolve();
      };
      const timer = setTimeout(wake, Math.max(0, ms));
      for (const event of events) this.#socket.on(event, wake);
    });
  }
}
