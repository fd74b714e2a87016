import { lookup as systemLookup, type LookupAddress } from 'node:dns';
import { connect as connectPlain, isIP, type LookupFunction, type Socket } from 'node:net';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import type { UpstreamConfig } from '../config.ts';
import { type Place, placeOf } from './host-trust.ts';
import type { StepResult } from './step-result.ts';
import { ownTlsKeys, tlsHint } from './tls-keys.ts';

const ADDRESS_COUNT_SHOWN = 4;
const DAY_MS = 24 * 3_600_000;
/** Authorities of the public web renew three weeks ahead and more. */
const EXPIRY_WARNING_MS = 14 * DAY_MS;
const TEXT_LENGTH_LIMIT = 80;

/** Whether the host's name is known, and by which addresses. */
export async function probeName(
  url: URL,
  lookup: LookupFunction = systemLookup,
  signal: AbortSignal,
): Promise<StepResult> {
  const { hostname } = placeOf(url);
  if (isIP(hostname) !== 0) return { outcome: 'ok', detail: hostname };
  const found = await settled<readonly LookupAddress[]>(signal, (resolve, reject) => {
    lookup(hostname, { all: true }, (error, addresses) => {
      if (error !== null) reject(error);
      else resolve(typeof addresses === 'string' ? [{ address: addresses, family: 4 }] : addresses);
    });
  });
  if (found instanceof Error)
    return { outcome: 'failed', detail: `${hostname} has no address (${codeOf(found)})` };
  const shown = found.slice(0, ADDRESS_COUNT_SHOWN).map(({ address }) => address);
  const more = found.length - shown.length;
  return { outcome: 'ok', detail: `${shown.join(' ')}${more > 0 ? ` and ${more} more` : ''}` };
}

export interface ConnectionProbe {
  readonly url: URL;
  readonly tls: UpstreamConfig['tls'];
  /** Where the upstream is configured, for messages. */
  readonly keyPath: string;
  /** Wall time, milliseconds since 1970. */
  readonly nowMs: number;
  readonly lookup?: LookupFunction | undefined;
}

/** Whether somebody listens there, and over https what certificate is shown. A bad one is looked at all the same. */
export async function probeConnection(
  { url, tls, keyPath, nowMs, lookup }: ConnectionProbe,
  signal: AbortSignal,
): Promise<StepResult> {
  const place = placeOf(url);
  const isTls = url.protocol === 'https:';
  const sockets: Socket[] = [];
  try {
    const socket = await settled<Socket | TLSSocket>(signal, (resolve, reject) => {
      const options = { host: place.hostname, port: place.port, ...(lookup && { lookup }) };
      const opened = isTls ? connectTls({ ...options, ...tlsOptions(place, tls) }) : connectPlain(options);
      sockets.push(opened);
      opened.once('error', reject);
      opened.once(isTls ? 'secureConnect' : 'connect', () => resolve(opened));
    });
    if (socket instanceof Error) {
      const what = isTls ? 'no TLS connection' : 'no connection';
      return { outcome: 'failed', detail: `${what} to ${place.hostname}:${place.port} (${codeOf(socket)})` };
    }
    return 'authorized' in socket
      ? certificateResult(socket, { keyPath, nowMs, insecure: tls?.insecure === true })
      : { outcome: 'ok', detail: 'connected, without TLS' };
  } finally {
    for (const socket of sockets) socket.destroy();
  }
}

function tlsOptions({ hostname }: Place, tls: UpstreamConfig['tls']): Record<string, unknown> {
  const { ca, cert, key } = tls ?? {};
  return {
    ...(isIP(hostname) === 0 && { servername: hostname }),
    ...(ca !== undefined && { ca }),
    ...(cert !== undefined && { cert }),
    ...(key !== undefined && { key }),
    // What is wrong with a certificate is told by looking at it. No request goes over this connection.
    rejectUnauthorized: false,
  };
}

function certificateResult(
  socket: TLSSocket,
  {
    keyPath,
    nowMs,
    insecure,
  }: { readonly keyPath: string; readonly nowMs: number; readonly insecure: boolean },
): StepResult {
  const certificate = socket.getPeerCertificate();
  const expiresMs = Date.parse(certificate.valid_to);
  const until = Number.isNaN(expiresMs) ? 'unknown' : new Date(expiresMs).toISOString().slice(0, 10);
  const issuer = plain(certificate.issuer?.O ?? certificate.issuer?.CN);
  const shown = `${socket.getProtocol() ?? 'TLS'}, certificate by ${issuer}, until ${until}`;
  if (!socket.authorized && !insecure) {
    const code = codeOf(socket.authorizationError);
    const hint = tlsHint(code, ownTlsKeys(keyPath));
    return { outcome: 'failed', detail: `${shown}: not accepted (${code})${hint}` };
  }
  if (insecure) return { outcome: 'warning', detail: `${shown}: not checked (tls.insecure)` };
  return expiresMs - nowMs < EXPIRY_WARNING_MS
    ? { outcome: 'warning', detail: `${shown}: expires soon` }
    : { outcome: 'ok', detail: shown };
}

/** What a certificate says of itself, fit to be printed. */
function plain(text: string | readonly string[] | undefined): string {
  const one = typeof text === 'string' ? text : text?.[0];
  return one === undefined ? 'unknown' : one.replace(/[^\x20-\x7e]/g, '?').slice(0, TEXT_LENGTH_LIMIT);
}

/** The value, or the error that it fails with. @throws the signal's reason */
async function settled<Value>(
  signal: AbortSignal,
  begin: (resolve: (value: Value) => void, reject: (error: Error) => void) => void,
): Promise<Value | Error> {
  signal.throwIfAborted();
  return new Promise<Value | Error>((resolve, reject) => {
    const abort = (): void =>
      reject(
        signal.reason instanceof Error ? signal.reason : new Error('given up', { cause: signal.reason }),
      );
    const end = (result: Value | Error): void => {
      signal.removeEventListener('abort', abort);
      resolve(result);
    };
    signal.addEventListener('abort', abort, { once: true });
    begin(end, end);
  });
}

/** Codes of Node and OpenSSL; messages may hold anything. */
function codeOf(error: unknown): string {
  if (typeof error === 'string') return plain(error);
  if (typeof error !== 'object' || error === null) return 'unknown';
  const { code, errors } = error as { readonly code?: unknown; readonly errors?: unknown };
  if (typeof code === 'string' && /^[A-Z0-9_]{1,64}$/.test(code)) return code;
  return Array.isArray(errors) && errors.length > 0 ? codeOf(errors[0]) : 'unknown';
}
