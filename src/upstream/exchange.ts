import { Readable } from 'node:stream';
import type { Dispatcher } from 'undici';
import type { Clock } from '../clock.ts';
import { connectionError } from './connection-error.ts';
import { deferred } from '../deferred.ts';
import { ResponseHeaders } from './response-headers.ts';
import { UpstreamError } from './upstream-error.ts';
import type { TlsKeys } from './tls-keys.ts';
import { type Pace, Watchdog } from './watchdog.ts';

/** One answer. Its body must be read to the end or destroyed. */
export interface TransportResponse {
  /** What was asked; after redirects, the last hop. */
  readonly url: URL;
  readonly status: number;
  readonly headers: ResponseHeaders;
  /** Raw bytes in paused mode; fails with UpstreamError. */
  readonly body: Readable;
}

export interface ExchangeOptions {
  readonly url: URL;
  /** Keys of the configuration, for messages. */
  readonly tlsKeys: TlsKeys;
  readonly clock: Clock;
  readonly pace: Pace;
  readonly highWaterMarkBytes: number;
  readonly onBytes: (count: number) => void;
}

/**
 * One request on the wire, from its dispatch to the end of its body: undici's handler on one side, a promise of the
 * response and a Readable on the other. All ways to fail meet in `#fail`, so each is told once, as an UpstreamError.
 */
export class Exchange implements Dispatcher.DispatchHandler {
  /** Rejects with UpstreamError, or with the signal's reason. */
  readonly response: Promise<TransportResponse>;
  readonly #answer = deferred<TransportResponse>();
  readonly #options: ExchangeOptions;
  readonly #signal: AbortSignal;
  readonly #watchdog: Watchdog;
  readonly #body: Readable;
  #controller: Dispatcher.DispatchController | undefined;
  #state: 'waiting' | 'answered' | 'over' = 'waiting';

  constructor(options: ExchangeOptions, signal: AbortSignal) {
    this.#options = options;
    this.#signal = signal;
    this.response = this.#answer.promise;
    this.#watchdog = new Watchdog(options.clock, options.pace, (what) =>
      this.#fail(new UpstreamError('timeout', `${options.url.host} ${what}`)),
    );
    this.#body = new Readable({
      highWaterMark: options.highWaterMarkBytes,
      read: () => {
        this.#watchdog.resume();
        this.#controller?.resume();
      },
      destroy: (error, callback) => {
        this.#finish(error ?? new UpstreamError('unavailable', 'the transfer was given up'));
        callback(error);
      },
    });
    // A body may fail in the moment before its taker listens; whoever reads it sees the failure all the same.
    this.#body.on('error', () => undefined);
    signal.addEventListener('abort', this.#aborted, { once: true });
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    if (this.#state === 'over') controller.abort(new Error('given up before it started'));
  }

  onResponseStart(
    _controller: Dispatcher.DispatchController,
    status: number,
    headers: Record<string, string | string[] | undefined>,
  ): void {
    if (status < 200 || this.#state !== 'waiting') return;
    this.#state = 'answered';
    this.#watchdog.answered();
    const { url } = this.#options;
    this.#answer.resolve({ url, status, headers: new ResponseHeaders(headers), body: this.#body });
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#state !== 'answered') return;
    this.#watchdog.progress(chunk.length);
    this.#options.onBytes(chunk.length);
    if (this.#body.push(chunk)) return;
    controller.pause();
    this.#watchdog.pause();
  }

  onResponseEnd(): void {
    if (this.#state === 'over') return;
    this.#settle();
    this.#body.push(null);
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    const { url, tlsKeys } = this.#options;
    this.#fail(connectionError(error, url.host, tlsKeys));
  }

  readonly #aborted = (): void => {
    const reason: unknown = this.#signal.reason;
    if (this.#state === 'answered' && !(reason instanceof UpstreamError)) {
      this.#fail(new UpstreamError('unavailable', 'the transfer was given up', { cause: reason }));
    } else {
      this.#fail(reason);
    }
  };

  #fail(error: unknown): void {
    if (this.#state === 'over') return;
    const { url } = this.#options;
    const failure = error instanceof Error ? error : connectionError(error, url.host);
    if (this.#state === 'answered') {
      // Destroying the body comes back to `#finish`.
      this.#body.destroy(failure);
      return;
    }
    this.#answer.reject(error);
    this.#finish(failure);
    this.#body.destroy();
  }

  /** The connection goes with an exchange that is not complete: what is left on it belongs to nobody. */
  #finish(reason: Error): void {
    if (this.#state === 'over') return;
    this.#settle();
    this.#controller?.abort(reason);
  }

  #settle(): void {
    this.#state = 'over';
    this.#watchdog.stop();
    this.#signal.removeEventListener('abort', this.#aborted);
  }
}
