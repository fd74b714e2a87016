import { recentEntries } from '../recent-entries.ts';
import type { Clock } from '../clock.ts';
import { discard } from './bounded-body.ts';
import { type Challenge, parseChallenges } from './challenge.ts';
import { CredentialRefusals } from './credentials/credential-refusals.ts';
import type { Credential, CredentialSource } from './credentials/credential-source.ts';
import type { TransportResponse } from './exchange.ts';
import { basicAuthorization, type TokenSource } from './token-source.ts';
import { UpstreamError } from './upstream-error.ts';

const SCOPE_COUNT_LIMIT = 10_000;

export interface AuthorizationOptions {
  readonly clock: Clock;
  readonly tokens: TokenSource;
  readonly credentials: CredentialSource;
  /** The upstream's own: the only one whose challenges count. */
  readonly origin: string;
  /** `GET /v2/` without Authorization, for its challenge. */
  readonly ping: (signal: AbortSignal) => Promise<TransportResponse>;
}

/** What a request is about, and how it is sent with a given `Authorization` header. */
export interface AuthorizedRequest {
  /** Whose credentials it carries. */
  readonly repository: string;
  /** As token endpoints take it: `repository:<name>:pull`. */
  readonly scope: string;
  readonly send: (authorization: string | undefined) => Promise<TransportResponse>;
}

/** A header that signs a request. */
interface Signature {
  readonly header: string;
  /** Set when the header holds a credential itself, in place of a token that was given for one. */
  readonly direct: Credential | undefined;
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
  readonly #scopes = recentEntries<string, string>(SCOPE_COUNT_LIMIT);
  readonly #refusals: CredentialRefusals;
  #scheme: Scheme | undefined;

  constructor(options: AuthorizationOptions) {
    this.#options = options;
    this.#refusals = new CredentialRefusals(options.clock);
  }

  /** Whether there is nothing to sign in with for this repository. False where that cannot be found out. */
  async isAnonymous(repository: string, signal: AbortSignal): Promise<boolean> {
    try {
      return (await this.#options.credentials.credential(repository, signal)) === undefined;
    } catch {
      signal.throwIfAborted();
      return false;
    }
  }

  /**
   * The last response, whatever it says; a final 401 among it. At most three requests, and those for one token;
   * one more for a credential of a cloud that had expired.
   * @throws UpstreamError what `TokenSource.token` and the source of the credentials fail with; `denied` for
   *   credentials refused a moment ago
   */
  async send(request: AuthorizedRequest, signal: AbortSignal): Promise<TransportResponse> {
    const before = this.#scheme;
    const sent = before && (await this.#knownSignature(before, request, signal));
    const response = await this.#sendSigned(request, sent, signal);
    if (!this.#isChallenge(response, sent)) return response;
    if (sent === undefined) return this.#answer(request, response, undefined, signal);
    if (sent.direct === undefined) this.#options.tokens.drop(sent.header.slice('Bearer '.length));
    const challenges = challengesOf(response);
    const now = this.#schemeOf(challenges);
    if (before === undefined || now === undefined || !isSame(before, now)) {
      // Harbor answers an expired token with a Basic challenge, nvcr.io with another realm, ECR Public with 400: the
      // challenge that counts is the one to a newcomer.
      discard(response.body);
      const fresh = await request.send(undefined);
      const answer = this.#isChallenge(fresh, undefined)
        ? await this.#answer(request, fresh, sent, signal)
        : fresh;
      // A 400 that nothing has mended was about something else.
      return response.status === 400 && answer === fresh && fresh.status >= 400 ? response : answer;
    }
    if (isFinal(challenges, this.#scopeFor(request.scope))) return response;
    return this.#answer(request, response, sent, signal);
  }

  /**
   * Answers the challenge in `refusal`, or gives `refusal` back when there is none that we can answer, or only by
   * what was `refused`.
   */
  async #answer(
    request: AuthorizedRequest,
    refusal: TransportResponse,
    refused: Signature | undefined,
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
    const signature = await this.#signature(scheme, request, signal);
    if (signature === undefined || signature.header === refused?.header) return refusal;
    return this.#sendSigned(request, signature, signal);
  }

  /** Sends it, and once more where a cloud gives a new credential in place of one that may have expired. */
  async #sendSigned(
    request: AuthorizedRequest,
    signature: Signature | undefined,
    signal: AbortSignal,
  ): Promise<TransportResponse> {
    const response = await this.#sendOnce(request, signature, signal);
    if (signature === undefined || !this.#mayHaveExpired(request, response, signature)) return response;
    const { credentials } = this.#options;
    const { direct, header } = signature;
    if (direct !== undefined) credentials.refused(direct);
    const next = await credentials.credential(request.repository, signal);
    const again = next && directSignature(next);
    if (again === undefined || again.header === header) return response;
    discard(response.body);
    return this.#sendOnce(request, again, signal);
  }

  async #sendOnce(
    request: AuthorizedRequest,
    signature: Signature | undefined,
    signal: AbortSignal,
  ): Promise<TransportResponse> {
    if (signature?.direct === undefined) return request.send(signature?.header);
    const { header, direct } = signature;
    const { repository } = request;
    const attempt = async (): Promise<TransportResponse> => this.#tried(request, { header, direct });
    return this.#refusals.try({ credential: direct, repository }, attempt, signal);
  }

  /** Sends it and learns from the answer what the credential in the signature is worth. */
  async #tried(
    request: AuthorizedRequest,
    signature: Signature & { readonly direct: Credential },
  ): Promise<TransportResponse> {
    const { repository } = request;
    const { header, direct } = signature;
    const response = await request.send(header);
    if (this.#isAcceptance(response)) this.#refusals.accepted(direct, repository);
    const isRefusal =
      this.#isChallenge(response, signature) &&
      !isFinal(challengesOf(response), this.#scopeFor(request.scope));
    if (isRefusal && this.#refusals.refused(direct, repository)) this.#options.credentials.refused(direct);
    return response;
  }

  /**
   * What ECR says to a password, and ECR Public to a token, that has expired or was revoked: 403 and 400. Both may be
   * about the request as well, so that they count for no refusal.
   */
  #mayHaveExpired(
    { repository }: AuthorizedRequest,
    { url, status }: TransportResponse,
    { direct }: Signature,
  ): boolean {
    if (direct === undefined || this.#options.credentials.isMinted !== true) return false;
    if (url.origin !== this.#options.origin) return false;
    if (status !== 403 && !(status === 400 && direct.kind === 'bearer')) return false;
    return !this.#refusals.isGoodElsewhere(direct, repository);
  }

  /**
   * The signature by what was learned before. A realm that is of no use any more is forgotten, so that the upstream is
   * asked for a new challenge instead of failing for ever.
   */
  async #knownSignature(
    scheme: Scheme,
    request: AuthorizedRequest,
    signal: AbortSignal,
  ): Promise<Signature | undefined> {
    try {
      const signature = await this.#signature(scheme, request, signal);
      if (signature?.direct !== undefined) this.#refusals.rejectLocked(signature.direct, request.repository);
      return signature;
    } catch (error) {
      const stale =
        error instanceof UpstreamError && (error.reason === 'refused' || error.reason === 'protocol');
      if (stale) return undefined;
      throw error;
    }
  }

  /** `undefined`: the registry wants a user name, and there is none for this repository. */
  async #signature(
    scheme: Scheme,
    { repository, scope }: AuthorizedRequest,
    signal: AbortSignal,
  ): Promise<Signature | undefined> {
    const { credentials, tokens } = this.#options;
    if (scheme.kind === 'bearer') {
      const { realm, service } = scheme;
      try {
        const asked = { repository, realm, service, scope: this.#scopeFor(scope) };
        const { text, direct } = await tokens.token(asked, signal);
        return { header: `Bearer ${text}`, direct };
      } catch (error) {
        const saidNo =
          error instanceof UpstreamError &&
          (error.reason === 'denied' || error.reason === 'not-found' || error.isFinal);
        if (!saidNo && this.#scheme === scheme) this.#scheme = undefined;
        throw error;
      }
    }
    const credential = await credentials.credential(repository, signal);
    if (credential === undefined) return undefined;
    const signature = directSignature(credential);
    if (signature !== undefined) return signature;
    throw new UpstreamError(
      'denied',
      'the registry wants a user name and a password, and there is an identity token only',
    );
  }

  async #ping(signal: AbortSignal): Promise<readonly Challenge[]> {
    const response = await this.#options.ping(signal);
    discard(response.body);
    return this.#isChallenge(response, undefined) ? challengesOf(response) : [];
  }

  /**
   * 401 of the upstream itself (not of a host that it redirected to), or ECR Public's 400 to an expired token. A 400 to
   * a credential itself is about what was asked: how many tags, or referrers where there is no such API.
   */
  #isChallenge({ url, status }: TransportResponse, sent: Signature | undefined): boolean {
    if (url.origin !== this.#options.origin) return false;
    return status === 401 || (status === 400 && sent !== undefined && sent.direct === undefined);
  }

  /** It shows that the signature is good: 2xx, or that the upstream redirected. */
  #isAcceptance({ url, status }: TransportResponse): boolean {
    return status < 400 || url.origin !== this.#options.origin;
  }

  #schemeOf(challenges: readonly Challenge[]): Scheme | undefined {
    const bearer = challenges.find(
      ({ scheme, parameters }) => scheme === 'bearer' && parameters.has('realm'),
    );
    const realm = bearer?.parameters.get('realm');
    if (realm !== undefined) return { kind: 'bearer', realm, service: bearer?.parameters.get('service') };
    return challenges.some(({ scheme }) => scheme === 'basic') ? { kind: 'basic' } : undefined;
  }

  #scopeFor(scope: string): string {
    return this.#scopes.get(scope) ?? scope;
  }
}

/** `undefined` for what a token endpoint alone takes. */
function directSignature(credential: Credential): Signature | undefined {
  if (credential.kind === 'bearer') return { header: `Bearer ${credential.token}`, direct: credential };
  if (credential.kind === 'basic') return { header: basicAuthorization(credential), direct: credential };
  return undefined;
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
