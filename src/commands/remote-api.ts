import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import {
  type ClientRequest,
  type IncomingMessage,
  type OutgoingHttpHeaders,
  request as plainRequest,
  type RequestOptions,
} from 'node:http';
import { request as secureRequest } from 'node:https';
import { z } from 'zod';
import { StoreOperationError } from '../cache/store-operation-error.ts';
import { type ListenerConfig, type ListenerTls, printListen } from '../config.ts';
import { problem } from '../http/api-problem.ts';
import { ndjsonLines } from './ndjson-lines.ts';

/** The server says something at least every 10 s; one that says nothing for so long is taken for dead. */
const SILENCE_LIMIT_MS = 60_000;
/** After the last byte of a large blob all of it goes to the disk, which may be a slow one. */
const STORING_LIMIT_MS = 15 * 60_000;
const ANSWER_BYTES_LIMIT = 16 * 1024 * 1024;

export interface RemoteApiOptions {
  /** Where the admin listener is reached. */
  readonly listener: ListenerConfig;
  readonly token: string | undefined;
  /** Of a server that asks for no token: what it wants of who brings images. */
  readonly importKey?: string | undefined;
}

const lastLine = z.union([
  z.object({ end: z.literal(true) }),
  z.object({ error: z.object({ reason: problem.shape.reason, message: z.string() }) }),
]);

/**
 * The admin API of the server that holds the data directory. All fails with StoreOperationError, in which nothing holds
 * the token, or with the signal's reason.
 */
export class RemoteApi {
  readonly #options: RemoteApiOptions;

  constructor(options: RemoteApiOptions) {
    this.#options = options;
  }

  /** An answer that is one JSON document. */
  async document<T>(asked: Asked, schema: z.ZodType<T>, signal: AbortSignal): Promise<T> {
    const answer = await this.ask(asked, signal);
    return this.#parsed(schema, answer);
  }

  /** The documents of an NDJSON answer, as they come. */
  async *stream<T>(asked: Asked, schema: z.ZodType<T>, signal: AbortSignal): AsyncGenerator<T, void> {
    const answer = await this.ask(asked, signal, 'application/x-ndjson');
    try {
      for await (const line of ndjsonLines(answer)) {
        const last = lastLine.safeParse(line);
        if (!last.success) {
          // What a newer server tells beside what is known here is passed over.
          const event = schema.safeParse(line);
          if (event.success) yield event.data;
        } else if ('end' in last.data) return;
        else throw new StoreOperationError(last.data.error.reason, last.data.error.message);
      }
    } catch (cause) {
      if (cause instanceof StoreOperationError) throw cause;
      signal.throwIfAborted();
      throw this.#unreachable('broke off', cause);
    } finally {
      answer.destroy();
    }
    throw this.#unreachable('broke off before it was done');
  }

  /**
   * Sends bytes, if the server wants them, and gives its answer.
   * @throws what it says; what `body` fails with, as it is
   */
  async upload<T>(sent: Upload, schema: z.ZodType<T>, signal: AbortSignal): Promise<T> {
    const failed: { cause?: unknown } = {};
    try {
      const answer = await this.#answered(this.#put(sent, failed, signal), signal);
      return await this.#parsed(schema, answer);
    } catch (cause) {
      throw 'cause' in failed ? failed.cause : cause;
    }
  }

  /** An answer with status 200, whose body is the caller's to read or destroy. @throws what another one says */
  async ask(asked: Asked, signal: AbortSignal, accept = 'application/json, */*'): Promise<IncomingMessage> {
    signal.throwIfAborted();
    return this.#answered(this.#send(asked, accept, signal), signal);
  }

  async #answered(asking: Promise<IncomingMessage>, signal: AbortSignal): Promise<IncomingMessage> {
    let answer: IncomingMessage;
    try {
      answer = await asking;
    } catch (cause) {
      signal.throwIfAborted();
      if (cause instanceof StoreOperationError) throw cause;
      const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'no connection';
      throw this.#unreachable(`does not answer (${code})`, cause);
    }
    if (answer.statusCode === 200) return answer;
    if (answer.statusCode === 401) {
      answer.destroy();
      const { token } = this.#options;
      const which = token === undefined ? 'wants a token, and this configuration has none' : 'does not take';
      throw new StoreOperationError(
        'refused',
        `the admin listener at ${this.#place} ${which}${token === undefined ? '' : " this configuration's token"}`,
      );
    }
    const { reason, detail } = await this.#parsed(problem, answer);
    throw new StoreOperationError(reason, detail);
  }

  #send({ path, body }: Asked, accept: string, signal: AbortSignal): Promise<IncomingMessage> {
    const text = body === undefined ? undefined : JSON.stringify(body);
    const headers = text !== undefined && {
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(text),
    };
    const method = text === undefined ? 'GET' : 'POST';
    const request = this.#request({ path, method, headers: { accept, ...headers } }, signal);
    const answer = answerTo(request, SILENCE_LIMIT_MS);
    request.end(text);
    return answer;
  }

  /** @param failed is told what the body failed with */
  #put(
    { path, sizeBytes, body }: Upload,
    failed: { cause?: unknown },
    signal: AbortSignal,
  ): Promise<IncomingMessage> {
    const headers = {
      'content-type': 'application/octet-stream',
      'content-length': sizeBytes,
      // What is there already, or has no room, need not be sent.
      ...(sizeBytes > 0 && { expect: '100-continue' }),
    };
    const request = this.#request({ path, method: 'PUT', headers }, signal);
    const answer = answerTo(request, STORING_LIMIT_MS);
    const send = async (): Promise<void> => {
      let sentBytes = 0;
      try {
        for await (const chunk of body) {
          if (request.destroyed) return;
          sentBytes += chunk.length;
          if (sentBytes > sizeBytes) break;
          // Its memory is used again for the next one. Of a request that is over nobody says that it was taken.
          await new Promise<void>((resolve) => {
            const taken = (): void => {
              request.off('close', taken);
              resolve();
            };
            request.once('close', taken);
            request.write(chunk, taken);
          });
        }
        // What its head says would be waited for.
        if (sentBytes !== sizeBytes)
          throw new StoreOperationError('invalid', `there are not ${sizeBytes} bytes to send`);
        request.end();
      } catch (cause) {
        failed.cause = cause;
        request.destroy();
      }
    };
    if (sizeBytes === 0) request.end();
    else {
      request.once('continue', () => void send());
      request.flushHeaders();
    }
    return answer;
  }

  #request({ path, method, headers }: Sent, signal: AbortSignal): ClientRequest {
    const { listener, importKey, token = importKey } = this.#options;
    const options: RequestOptions = {
      host: reachable(listener.host),
      port: listener.port,
      path: `/api/v1/${path}`,
      method,
      agent: false,
      signal,
      headers: { ...(token !== undefined && { authorization: `Bearer ${token}` }), ...headers },
    };
    return listener.tls === undefined
      ? plainRequest(options)
      : secureRequest({ ...options, ...trust(listener.tls) });
  }

  async #textOf(answer: IncomingMessage): Promise<string> {
    const chunks: Buffer[] = [];
    let length = 0;
    try {
      for await (const chunk of answer as AsyncIterable<Buffer>) {
        length += chunk.length;
        if (length > ANSWER_BYTES_LIMIT) break;
        chunks.push(chunk);
      }
    } catch (cause) {
      throw this.#unreachable('broke off', cause);
    }
    return Buffer.concat(chunks).toString();
  }

  /** @throws StoreOperationError `unreachable` for what no server of this version says */
  async #parsed<T>(schema: z.ZodType<T>, answer: IncomingMessage): Promise<T> {
    const text = await this.#textOf(answer);
    let document: unknown;
    try {
      document = JSON.parse(text);
    } catch {
      document = undefined;
    }
    const result = schema.safeParse(document);
    if (result.success) return result.data;
    const { 'entrepot-version': version } = answer.headers;
    const isOther = typeof version === 'string' && /^[\w.+-]{1,64}$/.test(version);
    const which = isOther ? ` (it is version ${version})` : '';
    throw this.#unreachable(`is not the admin listener of this version of entrepot${which}`);
  }

  get #place(): string {
    const { listener } = this.#options;
    return `${listener.tls === undefined ? 'http' : 'https'}://${printListen({ ...listener, host: reachable(listener.host) })}`;
  }

  #unreachable(what: string, cause?: unknown): StoreOperationError {
    return new StoreOperationError(
      'unreachable',
      `the data directory is in use, but what should be its server's admin listener (admin.listen), ${this.#place}, ${what}`,
      { cause },
    );
  }
}

interface Sent {
  readonly path: string;
  readonly method: string;
  readonly headers: OutgoingHttpHeaders;
}

/** Bytes for the admin API. */
export interface Upload {
  /** Below /api/v1/. */
  readonly path: string;
  /** Of the body, which must have just as many. */
  readonly sizeBytes: number;
  /** Not begun where the server does not want it. */
  readonly body: AsyncIterable<Uint8Array>;
}

function answerTo(request: ClientRequest, silenceLimitMs: number): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    request.once('response', resolve);
    request.setTimeout(silenceLimitMs, () =>
      request.destroy(Object.assign(new Error('silent'), { code: 'ETIMEDOUT' })),
    );
    request.on('error', reject);
  });
}

/** A request of the admin API. */
export interface Asked {
  /** Below /api/v1/. */
  readonly path: string;
  /** Absent: GET. */
  readonly body?: object;
}

/** Who listens at every address is reached at loopback. */
export function reachable(host: string): string {
  if (host === '0.0.0.0') return '127.0.0.1';
  return host === '::' ? '::1' : host;
}

/**
 * The very certificate that the configuration has the server show, whatever names are in it and whoever issued it: it is
 * reached by an address here, and nobody else is to see the token.
 */
function trust({ certFile }: ListenerTls): object {
  let ca: string;
  let own: Buffer;
  try {
    ca = readFileSync(certFile, 'utf8');
    own = new X509Certificate(ca).raw;
  } catch (cause) {
    throw new StoreOperationError('failed', `admin.tls: ${certFile} cannot be read`, { cause });
  }
  return {
    ca,
    allowPartialTrustChain: true,
    checkServerIdentity: (_host: string, { raw }: { readonly raw: Buffer }) =>
      raw.equals(own)
        ? undefined
        : Object.assign(new Error('another certificate'), { code: 'another certificate than admin.tls has' }),
  };
}
