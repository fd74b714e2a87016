import type { IncomingMessage, ServerResponse } from 'node:http';
import type { buildConnector as Connector } from 'undici';
import { plainReads } from '../upstream/read-blocks.ts';
import { Agent, buildConnector } from '../upstream/undici-parts.ts';
import { CarriedFiles } from './carried-files.ts';
import { FRONT_HEADER, forwardedHead, GIVEN_BACK_HEADER } from './forwarded-request.ts';
import type { CarriedReport, RepeatedReport } from './front-messages.ts';
import { GRANT_HEADER, parseGrant } from './grant.ts';
import { inOneMessage } from './in-one-message.ts';
import { type OnHead, OwnerAnswer, type OwnerHead } from './owner-answer.ts';
import { REPEAT_HEADER, RepeatedAnswers } from './repeated-answers.ts';

/** Longer than the owner lets anything wait: it has all deadlines, and its end ends this process. */
const SILENCE_LIMIT_MS = 15 * 60_000;
const CONNECT_LIMIT_MS = 30_000;
/** Each connection holds 64 KiB to read into. The owner would keep it for longer. */
const KEEP_ALIVE_MS = 10_000;
/** A name for the socket. */
const OWNER = 'http://owner';
/** What the owner's answers may have of headers: a page of tags with its links. */
const HEADERS_LIMIT_BYTES = 64 * 1024;

/** Between the owner and us alone. */
const OWN_HEADERS: ReadonlySet<string> = new Set([
  'keep-alive',
  'transfer-encoding',
  GRANT_HEADER,
  REPEAT_HEADER,
]);

export interface RelayParts {
  readonly ownerPath: string;
  readonly token: string;
  /** These requests are dropped: no grant for them is taken. */
  readonly onLeft: (requests: readonly number[]) => void;
  readonly onCarried: (reports: readonly CarriedReport[]) => void;
  readonly onRepeated: (reports: readonly RepeatedReport[]) => void;
}

/** Hands requests to the owner, and his answers to clients; sends the files that he grants. */
export class Relay {
  readonly #token: string;
  readonly #agent: InstanceType<typeof Agent>;
  readonly #files: CarriedFiles;
  readonly #dropped: (request: number) => void;
  readonly #repeated: RepeatedAnswers;
  #lastRequest = 0;

  constructor({ ownerPath, token, onLeft, onCarried, onRepeated }: RelayParts) {
    this.#token = token;
    this.#dropped = inOneMessage(onLeft);
    this.#files = new CarriedFiles(onCarried);
    this.#repeated = new RepeatedAnswers(onRepeated);
    const options: Connector.BuildOptions & Record<string, unknown> = {
      socketPath: ownerPath,
      timeout: CONNECT_LIMIT_MS,
      onread: plainReads,
    };
    // As many connections as there are requests, and the gate at the door bounds those.
    this.#agent = new Agent({
      connect: buildConnector(options),
      pipelining: 1,
      keepAliveTimeout: KEEP_ALIVE_MS,
      keepAliveMaxTimeout: KEEP_ALIVE_MS,
      maxHeaderSize: HEADERS_LIMIT_BYTES,
      headersTimeout: SILENCE_LIMIT_MS,
      bodyTimeout: SILENCE_LIMIT_MS,
    });
  }

  /** Serves one request to its end. Never throws: what goes wrong ends the client's connection. */
  serve(request: IncomingMessage, response: ServerResponse): void {
    response.sendDate = false;
    if (this.#repeated.serve(request, response)) return;
    const number = (this.#lastRequest += 1);
    const dropped = (): void => this.#dropped(number);
    const onHead: OnHead = (head) => {
      const granted = head.headers[GRANT_HEADER];
      if (granted !== undefined) return () => this.#carry(String(granted), head, { response, dropped });
      const headers = clientHeaders(head);
      const lent = head.headers[REPEAT_HEADER];
      if (lent !== undefined)
        answer.onWhole = (body) => this.#repeated.keep(request, String(lent), { headers, body });
      response.writeHead(head.status, headers);
      return undefined;
    };
    const answer = new OwnerAnswer(response, onHead, dropped);
    const { path, headers } = forwardedHead(request, this.#token, number);
    this.#dispatch({ path, method: request.method ?? '', headers }, answer);
  }

  #carry(
    granted: string,
    head: OwnerHead,
    { response, dropped }: { readonly response: ServerResponse; readonly dropped: () => void },
  ): void {
    const grant = parseGrant(granted);
    if (grant === undefined) {
      dropped();
      response.destroy();
      return;
    }
    const { start, end } = grant.stretch;
    const sendHead = (): void => {
      response.writeHead(head.status, clientHeaders(head, end - start));
    };
    const giveBack = (position: number, taken: () => void): void => {
      if (!response.headersSent) sendHead();
      const rest = new OwnerAnswer(response, ({ status, headers }) => {
        const isRest = status === 200 && headers['content-length'] === String(end - position);
        if (!isRest) return () => void response.destroy();
        taken();
        return undefined;
      });
      const headers = [FRONT_HEADER, this.#token, GIVEN_BACK_HEADER, `${grant.loan} ${position}`];
      this.#dispatch({ path: '/', method: 'GET', headers }, rest);
    };
    this.#files.carry(grant, { response, sendHead, giveBack });
  }

  #dispatch(
    { path, method, headers }: { readonly path: string; readonly method: string; readonly headers: string[] },
    answer: OwnerAnswer,
  ): void {
    try {
      // Without `reset`, undici would close the connection after each HEAD.
      const asked = { origin: OWNER, path, method, headers, reset: false };
      this.#agent.dispatch(asked, answer);
    } catch {
      answer.destroy();
    }
  }

  /** No answer of before this generation of the owner's is to be given again. */
  forget(generation: number): void {
    this.#repeated.forget(generation);
  }

  async close(): Promise<void> {
    this.#repeated.close();
    await this.#agent.destroy();
  }
}

/** As the owner wrote them, but for what is between him and us. */
function clientHeaders({ raw }: OwnerHead, lengthBytes?: number): string[] {
  const headers: string[] = [];
  for (let at = 0; at + 1 < raw.length; at += 2) {
    const name = raw[at] ?? '';
    const value = raw[at + 1] ?? '';
    const lowerCased = name.toLowerCase();
    if (OWN_HEADERS.has(lowerCased) || (lowerCased === 'connection' && value !== 'close')) continue;
    const isLength = lengthBytes !== undefined && lowerCased === 'content-length';
    headers.push(name, isLength ? String(lengthBytes) : value);
  }
  return headers;
}
