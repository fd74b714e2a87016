/** Absent `expires_in` means this (distribution's token specification). */
const DEFAULT_LIFETIME_S = 60;
const SHORTEST_LIFETIME_S = 5;
/** Longer promises are not relied on: a revoked right should show within the hour. */
const LONGEST_LIFETIME_S = 3_600;
/** Must fit into a request header. */
const TOKEN_LENGTH_LIMIT = 12 * 1024;

/**
 * Reads a token endpoint's answer: `token` or `access_token`, and `expires_in`. `issued_at` is ignored: it is by
 * another host's clock. `undefined` when there is no token that may be put into a header.
 */
export function parseTokenReply(body: Buffer): { text: string; lifetimeMs: number } | undefined {
  const { token, access_token: accessToken, expires_in: expiresIn } = recordOf(body);
  const text = [token, accessToken].find(isHeaderSafe);
  if (text === undefined) return undefined;
  const seconds = typeof expiresIn === 'string' && /^\d+$/.test(expiresIn) ? Number(expiresIn) : expiresIn;
  const lifetime =
    typeof seconds === 'number' && Number.isFinite(seconds) && seconds > 0 ? seconds : DEFAULT_LIFETIME_S;
  return { text, lifetimeMs: 1000 * Math.min(LONGEST_LIFETIME_S, Math.max(SHORTEST_LIFETIME_S, lifetime)) };
}

/** Whether a token endpoint's 400 is about the credentials, in the words of OAuth2 (RFC 6749, 5.2). */
export function isCredentialError(body: Buffer): boolean {
  const { error } = recordOf(body);
  return error === 'invalid_grant' || error === 'invalid_client';
}

function recordOf(body: Buffer): Readonly<Record<string, unknown>> {
  try {
    const document: unknown = JSON.parse(body.toString('utf8'));
    return typeof document === 'object' && document !== null ? (document as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

function isHeaderSafe(value: unknown): value is string {
  return typeof value === 'string' && value.length <= TOKEN_LENGTH_LIMIT && /^[\x21-\x7e]+$/.test(value);
}
