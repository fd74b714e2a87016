import type { IncomingMessage } from 'node:http';

/**
 * A client's request on its way from a front to the owner: the same head, but for what is between two neighbours alone
 * (RFC 9110 §7.6.1), and behind it what the owner could not know else. Whatever a client sends under such a name is
 * taken off first.
 */

const PREFIX = 'x-entrepot-';
export const FRONT_HEADER = `${PREFIX}front`;
export const GIVEN_BACK_HEADER = `${PREFIX}given-back`;
/** What the front calls this request. */
const NUMBER = `${PREFIX}request`;
const CLIENT = `${PREFIX}client`;
/** A `Content-Length`, or `chunked`: what the client says follows. No such request is served. */
const BODY = `${PREFIX}body`;
/** How many `Host` headers there are, where it is not one. */
const HOSTS = `${PREFIX}hosts`;
/** The major version of HTTP, where it is not 1. */
const VERSION = `${PREFIX}version`;
/** The target, where it is no path. */
const TARGET = `${PREFIX}target`;

/** Between two neighbours, or said otherwise. */
const NOT_FORWARDED: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'transfer-encoding',
  'content-length',
  'upgrade',
  'te',
  'trailer',
  'expect',
]);

export interface ForwardedHead {
  readonly path: string;
  /** Names and values in turn. */
  readonly headers: string[];
}

/**
 * What a front sends.
 * @param token what the owner knows it by
 * @param number another one for each request of this front
 */
export function forwardedHead(request: IncomingMessage, token: string, number: number): ForwardedHead {
  const { rawHeaders, headers: known } = request;
  const headers: string[] = [];
  let hosts = 0;
  for (let at = 0; at + 1 < rawHeaders.length; at += 2) {
    const name = rawHeaders[at] ?? '';
    const lowerCased = name.toLowerCase();
    if (NOT_FORWARDED.has(lowerCased) || lowerCased.startsWith(PREFIX)) continue;
    if (lowerCased === 'host') hosts += 1;
    if (lowerCased !== 'host' || hosts === 1) headers.push(name, rawHeaders[at + 1] ?? '');
  }
  const body = known['transfer-encoding'] === undefined ? known['content-length'] : 'chunked';
  if (body !== undefined) headers.push(BODY, body);
  if (hosts !== 1) headers.push(HOSTS, String(hosts));
  if (request.httpVersionMajor !== 1) headers.push(VERSION, String(request.httpVersionMajor));
  const target = request.url ?? '';
  // What goes into a request line must be a path without blanks.
  const isPath = /^\/[!-ÿ]*$/.test(target);
  if (!isPath) headers.push(TARGET, encodeURIComponent(target));
  const client = request.socket.remoteAddress ?? 'unknown';
  headers.push(FRONT_HEADER, token, CLIENT, client, NUMBER, String(number));
  return { path: isPath ? target : '/', headers };
}

/** Whose request it is, and what its front calls it. */
export interface RestoredRequest {
  readonly client: string;
  readonly number: number;
}

/** Makes what the owner got the client's request again, as far as anything looks at it. */
export function restoreRequest(request: IncomingMessage): RestoredRequest {
  const { headers } = request;
  const body = said(request, BODY);
  if (body === 'chunked') headers['transfer-encoding'] = body;
  else if (body !== undefined) headers['content-length'] = body;
  const version = said(request, VERSION);
  if (version !== undefined) request.httpVersionMajor = Number(version);
  const target = said(request, TARGET);
  if (target !== undefined) request.url = decodeURIComponent(target);
  const hosts = said(request, HOSTS);
  // Without one, the front's client put in its own.
  if (hosts === '0') delete headers.host;
  else if (hosts !== undefined) request.rawHeaders.push('Host', headers.host ?? '');
  // What is said of the client, not of the request: equal requests of several clients are equal.
  const end = request.rawHeaders.lastIndexOf(FRONT_HEADER);
  if (end >= 0) request.rawHeaders.splice(end, 6);
  return { client: said(request, CLIENT) ?? 'unknown', number: Number(said(request, NUMBER)) };
}

/** What a front says in a header of its own. */
export function said({ headers }: IncomingMessage, name: string): string | undefined {
  const value = headers[name];
  return typeof value === 'string' ? value : undefined;
}
