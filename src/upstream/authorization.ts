import { LRUCache } from 'lru-cache';
import type { Clock } from '../clock.ts';
import type { BasicAuth } from '../config.ts';
import { discard } from './bounded-body.ts';
import { type Challenge, parseChallenges } from './challenge.ts';
import type { TransportResponse } from './exchange.ts';
import { basicAuthorization, type TokenSource } from './token-source.ts';
import { UpstreamError } from './upstream-error.ts';

/** How long refused Basic credentials are not sent again, and after how many refusals in a row. */
const REFUSAL_MEMORY_MS = 60_000;
const REFUSALS_IN_A_ROW = 3;
const SCOPE_COUNT_LIMIT = 10_000;

export interface AuthorizationOptions {
  readonly clock: Clock;
  readonly tokens: TokenSource;
  readonly auth: BasicAuth | undefined;
  /** The upstream's own: the only one whose challenges count. */
  readonly origin: string;
  /** `GET /v2/` without Authorization, for its challenge. */
  readonly ping: (signal: AbortSignal) => Promise<TransportResponse>;
}

/** What a request is about, and how it is sent with a given `Authorization` header. */
export interface AuthorizedRequest {
  /** As token endpoints take it: `repository:<name>:pull`. */
  readonly scope: string;
  readonly send: (authorization: string | undefined) => Promise<TransportResponse>;
}

/** How the upstream wants us to sign in. */
type Scheme =
  | { readonly kind: 'basic' }
  | { readonly kind: 'bearer'; readonly realm: string; readonly service: string | undefined };

/**
 * Signs in to one upstream. The last challenge is remembered, so that a request for a new repository carries a token
 * from the start; a challenge to a request that carried one is answered once more, with a new token.
 */
export class Authorization {
  readonly #options: AuthorizationOptions;
  /** Scopes that the upstream named in place of ours (registries that map names), by ours. */
  readonly #scopes = new LRUCache<string, string>({ max: SCOPE_COUNT_LIMIT });
  #scheme: Scheme | undefined;
  #basicRefusals = 0;
  #basicLockedUntilMs = -Infinity;

  constructor(options: AuthorizationOptions) {
    this.#options = options;
  }

  /**
   * The last response, whatever it says; a final 401 among it. At most three requests, and one for a token.
   * @throws UpstreamError what `TokenSource.token` fails with; `denied` for Basic credentials refused a moment ago
   */
  async send(request: AuthorizedRequest, signal: AbortSignal): Promise<TransportResponse> {
    const before = this.#scheme;
    const header = before && (await this.#knownHeader(before, request.scope, signal));
    const response = await request.send(header);
    if (!this.#isChallenge(response, header)) {
      if (before?.kind === 'basic') this.#basicRefusals = 0;
      return response;
    }
    if (header === undefined) return this.#answer(request, response, signal);
    this.#forget(header);
    const challenges = challengesOf(response);
    const now = this.#schemeOf(challenges);
    if (before === undefined || now === undefined || !isSame(before, now)) {
      // Harbor answers an expired token with a Basic challenge, nvcr.io with another realm, ECR Public with 400: the
      // challenge that counts is the one to a newcomer.
      discard(response.body);
      const fresh = await request.send(undefined);
      return this.#isChallenge(fresh, undefined) ? this.#answer(request, fresh, signal) : fresh;
    }
    if (now.kind === 'basic' || isFinal(challenges, this.#scopeFor(request.scope))) return response;
    return this.#answer(request, response, signal);
  }

  /** Answers the challenge in `refusal`, or gives `refusal` back when there is none that we can answer. */
  async #answer(
    request: AuthorizedRequest,
    refusal: TransportResponse,
    signal: AbortSignal,
  ): Promise<TransportResponse> {
    discard(refusal.body);
    let challenges = challengesOf(refusal);
    const scope = pullScopeOf(challenges);
    // Some registries challenge on `/v2/` only.
    if (challenges.length === 0) challenges = await this.#ping(signal);
    const scheme = this.#schemeOf(challenges);
    if (scheme === undefined) return refusal;
    if (scope !== undefined && scope !== request.scope) this.#scopes.set(request.scope, scope);
    this.#scheme = scheme;
    const response = await request.send(await this.#header(scheme, request.scope, signal));
    if (response.status === 401 && scheme.kind === 'basic') this.#forget('Basic');
    return response;
  }

  /**
   * The header by what was learned before. A realm that is of no use any more is forgotten, so that the upstream is
   * asked for a new challenge instead of failing for ever.
   */
  async #knownHeader(scheme: Scheme, scope: string, signal: AbortSignal): Promise<string | undefined> {
    try {
      return await this.#header(scheme, scope, signal);
    } catch (error) {
      const stale =
        error instanceof UpstreamError && (error.reason === 'refused' || error.reason === 'protocol');
      if (stale) return undefined;
      throw error;
    }
  }

  async #header(scheme: Scheme, scope: string, signal: AbortSignal): Promise<string> {
    const { auth, tokens, clock } = this.#options;
    if (scheme.kind === 'bearer') {
      const { realm, service } = scheme;
      try {
        return `Bearer ${await tokens.token({ realm, service, scope: this.#scopeFor(scope) }, signal)}`;
      } catch (error) {
        const saidNo =
          error instanceof UpstreamError && (error.reason === 'denied' || error.reason === 'not-found');
        if (!saidNo && this.#scheme === scheme) this.#scheme = undefined;
        throw error;
      }
    }
    if (auth === undefined || clock.monotonic() < this.#basicLockedUntilMs) {
      throw new UpstreamError(
        'denied',
        'the credentials were refused a moment ago and are not tried again yet',
      );
    }
    return basicAuthorization(auth);
  }

  /** The header was refused. */
  #forget(header: string): void {
    if (header.startsWith('Bearer ')) {
      this.#options.tokens.drop(header.slice('Bearer '.length));
      return;
    }
    this.#basicRefusals += 1;
    if (this.#basicRefusals < REFUSALS_IN_A_ROW) return;
    this.#basicRefusals = 0;
    this.#basicLockedUntilMs = this.#options.clock.monotonic() + REFUSAL_MEMORY_MS;
  }

  async #ping(signal: AbortSignal): Promise<readonly Challenge[]> {
    const response = await this.#options.ping(signal);
    discard(response.body);
    return this.#isChallenge(response, undefined) ? challengesOf(response) : [];
  }

  /** 401 of the upstream itself (not of a host that it redirected to), or ECR Public's 400 to an expired token. */
  #isChallenge({ url, status }: TransportResponse, header: string | undefined): boolean {
    if (url.origin !== this.#options.origin) return false;
    return status === 401 || (status === 400 && header?.startsWith('Bearer ') === true);
  }

  #schemeOf(challenges: readonly Challenge[]): Scheme | undefined {
    const bearer = challenges.find(
      ({ scheme, parameters }) => scheme === 'bearer' && parameters.has('realm'),
    );
    const realm = bearer?.parameters.get('realm');
    if (realm !== undefined) return { kind: 'bearer', realm, service: bearer?.parameters.get('service') };
    const basic = challenges.some(({ scheme }) => scheme === 'basic');
    return basic && this.#options.auth !== undefined ? { kind: 'basic' } : undefined;
  }

  #scopeFor(scope: string): string {
    return this.#scopes.get(scope) ?? scope;
  }
}

function challengesOf(response: TransportResponse): readonly Challenge[] {
  return parseChallenges(response.headers.all('www-authenticate'));
}

function isSame(one: Scheme, other: Scheme): boolean {
  if (one.kind === 'basic' || other.kind === 'basic') return one.kind === other.kind;
  return one.realm === other.realm && one.service === other.service;
}

/** The scope that the upstream asks for, if it is for pulling one repository and nothing more. */
function pullScopeOf(challenges: readonly Challenge[]): string | undefined {
  const scope = challenges.find(({ scheme }) => scheme === 'bearer')?.parameters.get('scope');
  return scope !== undefined && /^repository:[^\s:]{1,255}:pull$/.test(scope) ? scope : undefined;
}

/** True when the upstream says that the token was good but may not: Docker Hub's answer for a missing repository. */
function isFinal(challenges: readonly Challenge[], asked: string): boolean {
  const bearer = challenges.find(({ scheme }) => scheme === 'bearer');
  if (bearer?.parameters.get('error')?.toLowerCase() !== 'insufficient_scope') return false;
  const scope = pullScopeOf(challenges);
  return scope === undefined || scope === asked;
}
