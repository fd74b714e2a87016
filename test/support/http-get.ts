import { createHash } from 'node:crypto';
import {
  type ClientRequest,
  type IncomingHttpHeaders,
  type IncomingMessage,
  request as plain,
} from 'node:http';
import { request as secure } from 'node:https';
import { setTimeout as delay } from 'node:timers/promises';
import { type Digest, digestFromHash } from '../../src/oci/digest.ts';
import type { Gate } from './gate.ts';

export interface GetOptions {
  /** Default GET. */
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string | string[]>>;
  /** Aborting destroys the connection; a response that has begun resolves as not complete. */
  readonly signal?: AbortSignal;
  /** Keep no body, only its length and digest. */
  readonly digestOnly?: boolean;
  /** After so many bytes the reader reads no more until the gate opens. */
  readonly pauseAfter?: { readonly bytes: number; readonly gate: Gate };
  /** A slow reader. */
  readonly bytesPerSecond?: number;
  /** After so many bytes the connection is destroyed. */
  readonly abortAfter?: number;
  /** PEM; for https. */
  readonly ca?: string;
}

export interface GetResult {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  /** Names and values in turn, as sent. */
  readonly rawHeaders: readonly string[];
  /** Empty with `digestOnly`. */
  readonly body: Buffer;
  /** Bytes of the body that came. */
  readonly length: number;
  /** The sha256 digest of what came. */
  readonly digest: Digest;
  /** Whether the body ended as its framing said: all of Content-Length, or the last chunk. */
  readonly complete: boolean;
  /** From the call to the response's headers. */
  readonly ttfbMs: number;
  /** From the call to the first byte of the body; absent when none came. */
  readonly firstByteMs: number | undefined;
  readonly totalMs: number;
}

/** A response whose headers are there. */
export interface OpenResponse {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  /** Bytes of the body that were read so far. */
  readonly length: number;
  /** Resolves once so many bytes were read; rejects when the body ends before. */
  read(bytes: number): Promise<void>;
  /** Resolves when the body is over, however it ended. */
  finished(): Promise<GetResult>;
  /** Destroys the connection. */
  destroy(): void;
}

/**
 * One request on a connection of its own. The target is sent as it stands in `url`, nothing is normalised; redirects
 * are not followed, bodies not decoded. Resolves when the body is over, however it ended.
 * @throws when the connection fails before there are response headers.
 */
export async function get(url: string, options: GetOptions = {}): Promise<GetResult> {
  const response = await openGet(url, options);
  return response.finished();
}

/** As `get`, but resolves at the headers; the body is being read meanwhile. */
export async function openGet(url: string, options: GetOptions = {}): Promise<OpenResponse> {
  const startedMs = performance.now();
  const request = send(url, options);
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    request.once('response', resolve);
    request.once('error', reject);
  });
  request.on('error', () => undefined);
  const reading = new Reading(response, request, options, startedMs);
  return reading;
}

function send(url: string, options: GetOptions): ClientRequest {
  const found = /^(https?):\/\/([^/?:]+)(?::(\d+))?(.*)$/.exec(url);
  if (!found) throw new Error(`not a URL that can be asked: ${url}`);
  const [, scheme, host, port, target] = found;
  const request = (scheme === 'https' ? secure : plain)({
    host,
    port: port ?? (scheme === 'https' ? 443 : 80),
    path: target === '' ? '/' : target,
    method: options.method ?? 'GET',
    headers: { ...options.headers },
    agent: false,
    ...(options.signal && { signal: options.signal }),
    ...(options.ca !== undefined && { ca: options.ca }),
  });
  request.end();
  return request;
}

class Reading implements OpenResponse {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  length = 0;
  readonly #response: IncomingMessage;
  readonly #request: ClientRequest;
  readonly #options: GetOptions;
  readonly #startedMs: number;
  readonly #ttfbMs: number;
  readonly #chunks: Buffer[] = [];
  readonly #hash = createHash('sha256');
  readonly #watchers = new Set<() => void>();
  readonly #result: Promise<GetResult>;
  #firstByteMs: number | undefined;
  #over = false;

  constructor(response: IncomingMessage, request: ClientRequest, options: GetOptions, startedMs: number) {
    this.#response = response;
    this.#request = request;
    this.#options = options;
    this.#startedMs = startedMs;
    this.#ttfbMs = performance.now() - startedMs;
    this.status = response.statusCode ?? 0;
    this.headers = response.headers;
    this.#result = this.#readAll();
  }

  async read(bytes: number): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const watcher = (): void => {
        if (this.length < bytes && !this.#over) return;
        this.#watchers.delete(watcher);
        if (this.length >= bytes) resolve();
        else reject(new Error(`the body was over after ${this.length} bytes`));
      };
      this.#watchers.add(watcher);
      watcher();
    });
  }

  async finished(): Promise<GetResult> {
    return this.#result;
  }

  destroy(): void {
    this.#request.destroy();
  }

  async #readAll(): Promise<GetResult> {
    try {
      for await (const chunk of this.#response as AsyncIterable<Buffer>) await this.#take(chunk);
    } catch {
      // How it ended is told by `complete`.
    }
    this.#over = true;
    for (const watcher of this.#watchers) watcher();
    const declared = this.headers['content-length'];
    const bodiless = this.#options.method === 'HEAD' || this.status === 304;
    const short = !bodiless && declared !== undefined && this.length !== Number(declared);
    return {
      status: this.status,
      headers: this.headers,
      rawHeaders: this.#response.rawHeaders,
      body: Buffer.concat(this.#chunks),
      length: this.length,
      digest: digestFromHash('sha256', this.#hash),
      complete: this.#response.complete && !short,
      ttfbMs: this.#ttfbMs,
      firstByteMs: this.#firstByteMs,
      totalMs: performance.now() - this.#startedMs,
    };
  }

  async #take(chunk: Buffer): Promise<void> {
    const { digestOnly, pauseAfter, abortAfter = Infinity, bytesPerSecond, signal } = this.#options;
    const before = this.length;
    this.#firstByteMs ??= performance.now() - this.#startedMs;
    this.#hash.update(chunk);
    if (digestOnly !== true) this.#chunks.push(chunk);
    this.length += chunk.length;
    for (const watcher of this.#watchers) watcher();
    if (this.length >= abortAfter) this.#request.destroy();
    if (pauseAfter && before < pauseAfter.bytes && this.length >= pauseAfter.bytes) {
      await pauseAfter.gate.pass(signal);
    }
    if (bytesPerSecond !== undefined) await delay((chunk.length / bytesPerSecond) * 1000);
  }
}
