import { setMaxListeners } from 'node:events';
import type { LRUCache } from 'lru-cache';
import { recentEntries } from '../recent-entries.ts';
import type { Clock } from '../clock.ts';
import { abortable } from '../abortable.ts';
import { CredentialRefusals, fingerprint, REFUSAL_MEMORY_MS } from './credentials/credential-refusals.ts';
import type { Credential, CredentialSource } from './credentials/credential-source.ts';
import { Deadline } from './deadline.ts';
import type { HostTrust } from './host-trust.ts';
import { judgeRealm } from './realm-policy.ts';
import { isCredentialError, parseTokenReply } from './token-reply.ts';
import { UpstreamError } from './upstream-error.ts';

const TOKEN_COUNT_LIMIT = 10_000;
const TOKEN_DEADLINE_MS = 30_000;
/** So much of its life a token may have left before the next one is fetched beside it. */
const RENEWAL_SHARE = 0.2;
const RENEWAL_LIMIT_MS = 60_000;
/** Realms that gave no token to a POST are asked by GET for so long. */
const GET_ONLY_MEMORY_MS = 3_600_000;
const GET_ONLY_COUNT_LIMIT = 64;
/** The name that docker gives to an identity token's user. */
const TOKEN_USER = '<token>';
const CLIENT_ID = 'entrepot';

export interface TokenRequest {
  /** Whose credentials are asked with; `scope` may name it differently. */
  readonly repository: string;
  readonly realm: string;
  readonly service: string | undefined;
  readonly scope: string;
}

/** A request to a token endpoint. */
export interface TokenCall {
  readonly url: URL;
  readonly authorization: string | undefined;
  /** `application/x-www-form-urlencoded`, for POST; it may hold a secret, so it follows no redirect. Absent: GET. */
  readonly form?: string | undefined;
}

/** An answer of a token endpoint. */
export interface TokenReply {
  readonly status: number;
  readonly body: Buffer;
}

export interface TokenSourceOptions {
  readonly clock: Clock;
  readonly trust: HostTrust;
  readonly credentials: CredentialSource;
  /** Sends the request to the token endpoint. Throws UpstreamError, for 429 and 5xx too. */
  readonly send: (call: TokenCall, signal: AbortSignal) => Promise<TokenReply>;
  readonly onRefusedRealm: (host: string) => void;
}

/** What goes into `Authorization: Bearer`. */
export interface GivenToken {
  readonly text: string;
  /** Set when it is a credential itself and no token endpoint gave it. */
  readonly direct?: Credential | undefined;
}

interface HeldToken {
  readonly text: string;
  readonly renewAtMs: number;
}

/**
 * The Bearer tokens of one upstream, by realm, service, scope and repository (which decides about the credentials). Kept until they expire,
 * on the monotonic clock; renewed beside their use before that; one request at a time for each.
 */
export class TokenSource {
  readonly #options: TokenSourceOptions;
  readonly #held: LRUCache<string, HeldToken>;
  readonly #inFlight = new Map<string, Promise<GivenToken>>();
  /** By key and credential. */
  readonly #refused: LRUCache<string, UpstreamError>;
  readonly #refusals: CredentialRefusals;
  readonly #getOnly: LRUCache<string, true>;
  readonly #closing = new AbortController();

  constructor(options: TokenSourceOptions) {
    // Every token on its way listens; there is one for each repository that is asked for.
    setMaxListeners(0, this.#closing.signal);
    this.#options = options;
    // By the injected clock, without a cached look at it; 0 would mean "no time" to lru-cache.
    const perf = { now: () => options.clock.monotonic() + 1 };
    this.#refusals = new CredentialRefusals(options.clock);
    this.#held = recentEntries(TOKEN_COUNT_LIMIT, { perf, ttlResolution: 0, ttl: TOKEN_DEADLINE_MS });
    this.#refused = recentEntries(TOKEN_COUNT_LIMIT, { perf, ttlResolution: 0, ttl: REFUSAL_MEMORY_MS });
    this.#getOnly = recentEntries(GET_ONLY_COUNT_LIMIT, { perf, ttlResolution: 0, ttl: GET_ONLY_MEMORY_MS });
  }

  /**
   * A token that is good for now. Concurrent calls share one request; one call's abort leaves it to the others.
   * @throws UpstreamError `denied` or `not-found` (the endpoint said no), `refused` (realm), and what requests and the
   *   source of the credentials fail with
   */
  async token(request: TokenRequest, signal: AbortSignal): Promise<GivenToken> {
    const key = keyOf(request);
    const held = this.#held.get(key);
    if (held !== undefined) {
      if (this.#options.clock.monotonic() >= held.renewAtMs) void this.#renew(key, request);
      return { text: held.text };
    }
    return abortable(this.#fetched(key, request), signal);
  }

  /** The upstream refused this token: the next call gets a new one. A token that was replaced meanwhile stays. */
  drop(text: string): void {
    for (const [key, held] of this.#held.entries()) if (held.text === text) this.#held.delete(key);
  }

  /** Requests in flight fail. */
  close(): void {
    this.#closing.abort(new UpstreamError('unavailable', 'the upstream client is closed'));
  }

  /** Beside the use of the old token; a failure shows when that one has expired. */
  async #renew(key: string, request: TokenRequest): Promise<void> {
    await this.#fetched(key, request).catch(() => undefined);
  }

  async #fetched(key: string, request: TokenRequest): Promise<GivenToken> {
    const running = this.#inFlight.get(key);
    if (running !== undefined) return running;
    const fetching = this.#fetch(key, request).finally(() => this.#inFlight.delete(key));
    this.#inFlight.set(key, fetching);
    return fetching;
  }

  async #fetch(key: string, request: TokenRequest): Promise<GivenToken> {
    const { clock, credentials } = this.#options;
    const message = `${hostOf(request.realm)} gave no token in time`;
    const deadline = new Deadline({ clock, ms: TOKEN_DEADLINE_MS, message }, this.#closing.signal);
    try {
      const credential = await credentials.credential(request.repository, deadline.signal);
      try {
        return await this.#exchanged(key, request, credential, deadline.signal);
      } catch (error) {
        // A file or program may have newer ones by now.
        if (!(error instanceof UpstreamError) || error.reason !== 'denied' || credential === undefined)
          throw error;
        const next = await credentials.credential(request.repository, deadline.signal);
        if (next === undefined || fingerprint(next) === fingerprint(credential)) throw error;
        return await this.#exchanged(key, request, next, deadline.signal);
      }
    } finally {
      deadline.close();
    }
  }

  async #exchanged(
    key: string,
    request: TokenRequest,
    credential: Credential | undefined,
    signal: AbortSignal,
  ): Promise<GivenToken> {
    if (credential?.kind === 'bearer') return { text: credential.token, direct: credential };
    const url = this.#realm(request.realm, credential !== undefined);
    const refusalKey = credential && `${key} ${fingerprint(credential)}`;
    const known = refusalKey === undefined ? undefined : this.#refused.get(refusalKey);
    if (known !== undefined) throw known;
    const ask = async (): Promise<GivenToken> =>
      this.#given(key, request, { url, credential, refusalKey }, signal);
    return credential === undefined ? ask() : this.#refusals.try({ credential }, ask, signal);
  }

  async #given(
    key: string,
    request: TokenRequest,
    { url, credential, refusalKey }: Asking,
    signal: AbortSignal,
  ): Promise<GivenToken> {
    const askedAtMs = this.#options.clock.monotonic();
    const reply = await this.#ask(url, request, credential, signal);
    const { status } = reply;
    // 400 is what OAuth2 says to a grant that is no good, and ECR Public to any credential.
    const isRefused = status === 401 || status === 403 || (status === 400 && credential !== undefined);
    if (isRefused) {
      const error = this.#refusal(url, reply, credential);
      if (refusalKey !== undefined) this.#refused.set(refusalKey, error);
      throw error;
    }
    if (status !== 200) {
      throw new UpstreamError('protocol', `${url.host} answered ${status} instead of a token`, { status });
    }
    const token = parseTokenReply(reply.body);
    if (token === undefined) throw new UpstreamError('protocol', `${url.host} answered without a token`);
    if (credential !== undefined) this.#refusals.accepted(credential);
    this.#hold(key, { ...token, askedAtMs });
    return { text: token.text };
  }

  /** By GET, with Basic; an identity token by POST, where the endpoint knows that. */
  async #ask(
    realm: URL,
    { service, scope }: TokenRequest,
    credential: Exclude<Credential, { kind: 'bearer' }> | undefined,
    signal: AbortSignal,
  ): Promise<TokenReply> {
    const { send } = this.#options;
    if (credential?.kind === 'identity-token' && !this.#getOnly.has(realm.href)) {
      const form = new URLSearchParams({ grant_type: 'refresh_token' });
      if (service !== undefined) form.set('service', service);
      form.set('client_id', CLIENT_ID);
      form.set('scope', scope);
      form.set('refresh_token', credential.token);
      const reply = await send({ url: realm, authorization: undefined, form: form.toString() }, signal);
      if (reply.status !== 404 && reply.status !== 405) return reply;
      this.#getOnly.set(realm.href, true);
    }
    const url = new URL(realm);
    if (service !== undefined) url.searchParams.set('service', service);
    url.searchParams.set('scope', scope);
    const user =
      credential?.kind === 'identity-token'
        ? { username: TOKEN_USER, password: credential.token }
        : credential;
    return send({ url, authorization: user && basicAuthorization(user) }, signal);
  }

  /** Counted from when it was asked for, so that the network's delay cannot make it live too long. */
  #hold(key: string, token: { text: string; lifetimeMs: number; askedAtMs: number }): void {
    const { text, lifetimeMs, askedAtMs } = token;
    const ttl = Math.floor(askedAtMs + lifetimeMs - this.#options.clock.monotonic());
    if (ttl <= 0) return;
    const renewAtMs = askedAtMs + lifetimeMs - Math.min(RENEWAL_LIMIT_MS, lifetimeMs * RENEWAL_SHARE);
    this.#held.set(key, { text, renewAtMs }, { ttl });
  }

  #realm(realm: string, hasCredentials: boolean): URL {
    const decision = judgeRealm(realm, this.#options.trust, hasCredentials);
    if (decision.verdict !== 'refused') return decision.url;
    this.#options.onRefusedRealm(decision.host);
    const place = decision.host === '' ? 'the token realm' : `the token realm's host ${decision.host}`;
    throw new UpstreamError('refused', `${place} ${decision.why}`);
  }

  #refusal(url: URL, { status, body }: TokenReply, credential: Credential | undefined): UpstreamError {
    if (credential === undefined) {
      return new UpstreamError('not-found', `${url.host} gives no anonymous token for it`, { status });
    }
    // 403 is about the repository, 401 about the credentials; 400 may be about a scope that the endpoint does not like.
    const isAboutCredentials =
      status === 401 ||
      (status === 400 && (isCredentialError(body) || !this.#refusals.wasAccepted(credential)));
    if (isAboutCredentials) {
      this.#refusals.refused(credential);
      this.#options.credentials.refused(credential);
    }
    return new UpstreamError('denied', `${url.host} refused the credentials for it`, { status });
  }
}

interface Asking {
  readonly url: URL;
  readonly credential: Exclude<Credential, { kind: 'bearer' }> | undefined;
  /** What a refusal is remembered by. */
  readonly refusalKey: string | undefined;
}

/** RFC 7617, in UTF-8. */
export function basicAuthorization({
  username,
  password,
}: {
  readonly username: string;
  readonly password: string;
}): string {
  return `Basic ${Buffer.from(`${username}:${password}`, 'utf8').toString('base64')}`;
}

function keyOf({ repository, realm, service, scope }: TokenRequest): string {
  return JSON.stringify([repository, realm, service, scope]);
}

/** For messages; what a challenge names may be no URL at all. */
function hostOf(realm: string): string {
  return URL.canParse(realm) ? new URL(realm).host : 'the token realm';
}
