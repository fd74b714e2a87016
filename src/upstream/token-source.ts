import { LRUCache } from 'lru-cache';
import type { Clock } from '../clock.ts';
import type { BasicAuth } from '../config.ts';
import { abortable } from '../abortable.ts';
import { Deadline } from './deadline.ts';
import type { HostTrust } from './host-trust.ts';
import { judgeRealm } from './realm-policy.ts';
import { parseTokenReply } from './token-reply.ts';
import { UpstreamError } from './upstream-error.ts';

const TOKEN_COUNT_LIMIT = 10_000;
const TOKEN_DEADLINE_MS = 30_000;
/** So much of its life a token may have left before the next one is fetched beside it. */
const RENEWAL_SHARE = 0.2;
const RENEWAL_LIMIT_MS = 60_000;
/** How long refused credentials are not tried again: Docker Hub locks an account after some failures. */
const REFUSAL_MEMORY_MS = 60_000;
/** So many refusals in a row, whatever the repository, mean that the credentials are bad for all. */
const REFUSALS_IN_A_ROW = 3;

export interface TokenRequest {
  readonly realm: string;
  readonly service: string | undefined;
  readonly scope: string;
}

/** An answer of a token endpoint. */
export interface TokenReply {
  readonly status: number;
  readonly body: Buffer;
}

export interface TokenSourceOptions {
  readonly clock: Clock;
  readonly trust: HostTrust;
  readonly auth: BasicAuth | undefined;
  /** Sends the request to the token endpoint. Throws UpstreamError, for 429 and 5xx too. */
  readonly send: (url: URL, authorization: string | undefined, signal: AbortSignal) => Promise<TokenReply>;
  readonly onRefusedRealm: (host: string) => void;
}

interface HeldToken {
  readonly text: string;
  readonly renewAtMs: number;
}

/**
 * The Bearer tokens of one upstream, by realm, service and scope (its credentials are fixed). Kept until they expire,
 * on the monotonic clock; renewed beside their use before that; one request at a time for each.
 */
export class TokenSource {
  readonly #options: TokenSourceOptions;
  readonly #held: LRUCache<string, HeldToken>;
  readonly #inFlight = new Map<string, Promise<string>>();
  /** Keys whose credentials were refused, and until when. */
  readonly #refused: LRUCache<string, UpstreamError>;
  readonly #closing = new AbortController();
  #refusalsInARow = 0;
  #lockedUntilMs = -Infinity;

  constructor(options: TokenSourceOptions) {
    this.#options = options;
    // By the injected clock, without a cached look at it; 0 would mean "no time" to lru-cache.
    const perf = { now: () => options.clock.monotonic() + 1 };
    this.#held = new LRUCache({ max: TOKEN_COUNT_LIMIT, perf, ttlResolution: 0, ttl: TOKEN_DEADLINE_MS });
    this.#refused = new LRUCache({ max: TOKEN_COUNT_LIMIT, perf, ttlResolution: 0, ttl: REFUSAL_MEMORY_MS });
  }

  /**
   * A token that is good for now. Concurrent calls share one request; one call's abort leaves it to the others.
   * @throws UpstreamError `denied` or `not-found` (the endpoint said no), `refused` (realm), and what requests fail with
   */
  async token(request: TokenRequest, signal: AbortSignal): Promise<string> {
    const key = keyOf(request);
    const held = this.#held.get(key);
    if (held !== undefined) {
      if (this.#options.clock.monotonic() >= held.renewAtMs) void this.#renew(key, request);
      return held.text;
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

  async #fetched(key: string, request: TokenRequest): Promise<string> {
    const running = this.#inFlight.get(key);
    if (running !== undefined) return running;
    const fetching = this.#fetch(key, request).finally(() => this.#inFlight.delete(key));
    this.#inFlight.set(key, fetching);
    return fetching;
  }

  async #fetch(key: string, request: TokenRequest): Promise<string> {
    const { clock, auth } = this.#options;
    this.#rejectKnownRefusal(key);
    const { url, authorization } = this.#target(request);
    const askedAtMs = clock.monotonic();
    const message = `${url.host} gave no token in time`;
    const deadline = new Deadline({ clock, ms: TOKEN_DEADLINE_MS, message }, this.#closing.signal);
    let reply: TokenReply;
    try {
      reply = await this.#options.send(url, authorization, deadline.signal);
    } finally {
      deadline.close();
    }
    if (reply.status === 401 || reply.status === 403) throw this.#refusal(key, url, reply.status);
    if (reply.status !== 200) {
      throw new UpstreamError('protocol', `${url.host} answered ${reply.status} instead of a token`, {
        status: reply.status,
      });
    }
    const token = parseTokenReply(reply.body);
    if (token === undefined) throw new UpstreamError('protocol', `${url.host} answered without a token`);
    if (auth !== undefined) this.#refusalsInARow = 0;
    this.#hold(key, { ...token, askedAtMs });
    return token.text;
  }

  /** Counted from when it was asked for, so that the network's delay cannot make it live too long. */
  #hold(key: string, token: { text: string; lifetimeMs: number; askedAtMs: number }): void {
    const { text, lifetimeMs, askedAtMs } = token;
    const ttl = Math.floor(askedAtMs + lifetimeMs - this.#options.clock.monotonic());
    if (ttl <= 0) return;
    const renewAtMs = askedAtMs + lifetimeMs - Math.min(RENEWAL_LIMIT_MS, lifetimeMs * RENEWAL_SHARE);
    this.#held.set(key, { text, renewAtMs }, { ttl });
  }

  #target({ realm, service, scope }: TokenRequest): { url: URL; authorization: string | undefined } {
    const { trust, auth } = this.#options;
    const decision = judgeRealm(realm, trust, auth !== undefined);
    if (decision.verdict === 'refused') {
      this.#options.onRefusedRealm(decision.host);
      const place = decision.host === '' ? 'the token realm' : `the token realm's host ${decision.host}`;
      throw new UpstreamError('refused', `${place} ${decision.why}`);
    }
    const { url } = decision;
    if (service !== undefined) url.searchParams.set('service', service);
    url.searchParams.set('scope', scope);
    const authorization =
      auth !== undefined && decision.verdict === 'credentials' ? basicAuthorization(auth) : undefined;
    return { url, authorization };
  }

  #rejectKnownRefusal(key: string): void {
    const known = this.#refused.get(key);
    if (known !== undefined) throw known;
    if (this.#options.clock.monotonic() < this.#lockedUntilMs) {
      throw new UpstreamError(
        'denied',
        'the credentials were refused a moment ago and are not tried again yet',
      );
    }
  }

  #refusal(key: string, url: URL, status: number): UpstreamError {
    if (this.#options.auth === undefined) {
      return new UpstreamError('not-found', `${url.host} gives no anonymous token for it`, { status });
    }
    const error = new UpstreamError('denied', `${url.host} refused the credentials for it`, { status });
    this.#refused.set(key, error);
    // 403 is about the repository; 401 may be about the credentials.
    if (status === 401) this.#refusalsInARow += 1;
    if (this.#refusalsInARow >= REFUSALS_IN_A_ROW) {
      this.#lockedUntilMs = this.#options.clock.monotonic() + REFUSAL_MEMORY_MS;
      this.#refusalsInARow = 0;
    }
    return error;
  }
}

/** RFC 7617, in UTF-8. */
export function basicAuthorization({ username, password }: BasicAuth): string {
  return `Basic ${Buffer.from(`${username}:${password}`, 'utf8').toString('base64')}`;
}

function keyOf({ realm, service, scope }: TokenRequest): string {
  return JSON.stringify([realm, service, scope]);
}
