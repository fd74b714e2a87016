import { createHash } from 'node:crypto';
import { connect, type Socket } from 'node:net';
import type { ByteSource } from '../support/byte-source.ts';

/**
 * A GET that costs its process next to nothing: one connection, one read buffer for all of them, the body counted and
 * dropped (or hashed). The measured side does the work, not the client.
 */

export interface Download {
  readonly status: number;
  /** Names in lower case; of a repeated one the last. */
  readonly headers: ReadonlyMap<string, string>;
  readonly bytes: number;
  /** `sha256:<hex>` of the body, where it was asked for. */
  readonly digest: string | undefined;
  /** From before the connection is opened to the first byte of the body. */
  readonly firstByteMs: number;
  readonly totalMs: number;
}

export interface DownloadOptions {
  readonly accept?: string;
  /** Default false. */
  readonly hashed?: boolean;
  /** What the body must be, byte for byte: proves as much as its digest, at a tenth of the client's CPU. */
  readonly expected?: ByteSource;
  /** Default two minutes. */
  readonly limitMs?: number;
}

const LIMIT_MS = 120_000;
const HEAD_LIMIT = 64 * 1024;
// Read callbacks are synchronous, so connections can share it.
const buffer = Buffer.allocUnsafe(1024 * 1024);

/** @throws when it is not a 200 whose body has all of its Content-Length and is what was expected, or takes too long. */
export async function download(url: string, options: DownloadOptions = {}): Promise<Download> {
  const { hostname, port, pathname } = new URL(url);
  const body = new Body(options);
  return new Promise((resolve, reject) => {
    const fail = (why: string): void => {
      socket.destroy();
      clearTimeout(limit);
      reject(new Error(`${url}: ${why}`));
    };
    const take = (length: number): boolean => {
      const wrong = body.take(buffer.subarray(0, length));
      if (wrong !== undefined) fail(wrong);
      else if (body.complete) {
        socket.destroy();
        clearTimeout(limit);
        resolve(body.result());
      }
      return true;
    };
    const socket: Socket = connect({
      host: hostname,
      port: Number(port),
      noDelay: true,
      onread: { buffer, callback: take },
    });
    const limit = setTimeout(() => fail('too slow'), options.limitMs ?? LIMIT_MS);
    socket.once('error', (error) => fail(error.message));
    socket.once('close', () => fail(`ended after ${body.bytes} bytes`));
    socket.write(
      `GET ${pathname} HTTP/1.1\r\nHost: ${hostname}:${port}\r\nAccept: ${options.accept ?? '*/*'}\r\nConnection: close\r\n\r\n`,
    );
  });
}

class Body {
  bytes = 0;
  readonly #startedMs = performance.now();
  readonly #hash: ReturnType<typeof createHash> | undefined;
  readonly #expected: ByteSource | undefined;
  readonly #headers = new Map<string, string>();
  #head: string | undefined = '';
  #status = 0;
  #length = Infinity;
  #firstByteMs = 0;

  constructor({ hashed, expected }: DownloadOptions) {
    this.#hash = hashed === true ? createHash('sha256') : undefined;
    this.#expected = expected;
  }

  get complete(): boolean {
    return this.#head === undefined && this.bytes === this.#length;
  }

  /** What is wrong with it; `undefined` as long as nothing is. */
  take(piece: Buffer): string | undefined {
    let rest = piece;
    if (this.#head !== undefined) {
      const before = this.#head.length;
      this.#head += piece.toString('latin1');
      const end = this.#head.indexOf('\r\n\r\n');
      if (end < 0) return this.#head.length > HEAD_LIMIT ? 'endless header' : undefined;
      this.#parse(this.#head.slice(0, end));
      this.#head = undefined;
      rest = piece.subarray(end + 4 - before);
      if (this.#status !== 200) return `status ${this.#status}`;
      if (!Number.isInteger(this.#length)) return 'no Content-Length';
      if (this.#length !== (this.#expected?.size ?? this.#length)) return 'another length than expected';
    }
    if (rest.length === 0) return undefined;
    if (this.bytes === 0) this.#firstByteMs = performance.now() - this.#startedMs;
    if (!this.#isExpected(rest)) return 'other bytes than expected';
    this.bytes += rest.length;
    this.#hash?.update(rest);
    return this.bytes > this.#length ? 'longer than its Content-Length' : undefined;
  }

  result(): Download {
    return {
      status: this.#status,
      headers: this.#headers,
      bytes: this.bytes,
      digest: this.#hash && `sha256:${this.#hash.digest('hex')}`,
      firstByteMs: this.#firstByteMs,
      totalMs: performance.now() - this.#startedMs,
    };
  }

  #isExpected(piece: Buffer): boolean {
    const source = this.#expected;
    if (source === undefined) return true;
    for (let at = 0; at < piece.length && this.bytes + at < source.size;) {
      const wanted = source.at(this.bytes + at, piece.length - at);
      if (!piece.subarray(at, at + wanted.length).equals(wanted)) return false;
      at += wanted.length;
    }
    return true;
  }

  #parse(head: string): void {
    const [first = '', ...lines] = head.split('\r\n');
    this.#status = Number(first.split(' ')[1]);
    for (const line of lines) {
      const colon = line.indexOf(':');
      this.#headers.set(line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim());
    }
    this.#length = Number(this.#headers.get('content-length') ?? Number.NaN);
  }
}
