import { tlsHint, type TlsKeys } from './tls-keys.ts';
import { UpstreamError } from './upstream-error.ts';

/** Codes of OpenSSL and Node that say a certificate is not accepted: asking again does not help. */
const CERTIFICATE =
  /^(?:CERT_|ERR_TLS_CERT|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_|HOSTNAME_MISMATCH|INVALID_CA)/;

/** What is not HTTP, or more of it than we take. A cut chunked body shows as HPE_INVALID_EOF_STATE: that is a cut. */
const MALFORMED =
  /^(?:HPE_(?!INVALID_EOF_STATE)|UND_ERR_HEADERS_OVERFLOW|UND_ERR_RES_|UND_ERR_NOT_SUPPORTED)/;

/** What OpenSSL says of a handshake; a client certificate that is missing or refused is among it. */
const HANDSHAKE = /^ERR_SSL_/;

const TIMED_OUT = new Set([
  'UND_ERR_CONNECT_TIMEOUT',
  'ETIMEDOUT',
  'UND_ERR_HEADERS_TIMEOUT',
  'UND_ERR_BODY_TIMEOUT',
]);

/**
 * Turns what the HTTP client threw into an UpstreamError about `host`. Its cause carries the code only: undici's
 * own errors hold raw response bytes, and messages may hold URLs.
 * @param keys where TLS with the host is configured
 */
export function connectionError(error: unknown, host: string, keys?: TlsKeys): UpstreamError {
  if (error instanceof UpstreamError) return error;
  const code = codeOf(error);
  const hint = keys === undefined ? '' : tlsHint(code, keys);
  const cause = new Error(`connection failed: ${code}`);
  Object.assign(cause, { code });
  if (TIMED_OUT.has(code)) return new UpstreamError('timeout', `no connection to ${host} in time`, { cause });
  if (MALFORMED.test(code))
    return new UpstreamError('protocol', `${host} does not answer in proper HTTP`, { cause });
  if (CERTIFICATE.test(code)) {
    const what = `the certificate of ${host} is not accepted (${code})`;
    return new UpstreamError('unavailable', what + hint, { cause });
  }
  const what = `the connection to ${host} failed (${code})`;
  return new UpstreamError('unavailable', HANDSHAKE.test(code) ? what + hint : what, { cause });
}

/** True when another try cannot change the outcome. */
export function isCertificateError(error: UpstreamError): boolean {
  return CERTIFICATE.test(codeOf(error.cause));
}

function codeOf(error: unknown): string {
  if (typeof error !== 'object' || error === null) return 'UNKNOWN';
  const { code, errors, name } = error as { code?: unknown; errors?: unknown; name?: unknown };
  if (typeof code === 'string' && /^[A-Z0-9_]{1,64}$/.test(code)) return code;
  // undici's parser leaves the code out when the answer does not even begin as HTTP.
  if (name === 'HTTPParserError') return 'HPE_UNKNOWN';
  // Happy Eyeballs gives an AggregateError, one error for each address.
  return Array.isArray(errors) && errors.length > 0 ? codeOf(errors[0]) : 'UNKNOWN';
}
