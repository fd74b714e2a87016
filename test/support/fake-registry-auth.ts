import { randomUUID } from 'node:crypto';
import type { RecordedRequest } from './recorded-request.ts';
import { errorReply, jsonReply, type Reply } from './reply.ts';

/** Who may pull what. */
export interface FakeCredentials {
  readonly username: string;
  readonly password: string;
  /** Default: every repository. */
  readonly repositories?: RegExp | undefined;
  /** A refresh token of this user's, good for POST with `grant_type=refresh_token`. */
  readonly identityToken?: string | undefined;
}

export interface BasicAuthMode {
  readonly mode: 'basic';
  readonly credentials: readonly FakeCredentials[];
}

export interface BearerAuthMode {
  readonly mode: 'bearer';
  readonly credentials?: readonly FakeCredentials[];
  /** What may be pulled without credentials. Default: all if there are no credentials, else nothing. */
  readonly anonymous?: RegExp | undefined;
  /** What the token endpoint says to who asks for too much: a token that is worth less (Docker Hub), or 403 (GHCR). Default `reduced`. */
  readonly refusal?: 'reduced' | 'denied';
  /** Tokens that work for every repository without having been given by the token endpoint. */
  readonly staticTokens?: readonly string[];
  /** How long a token works. Default 300,000. */
  readonly tokenTtlMs?: number;
  /** What `expires_in` says, in seconds; `absent` = nothing. Default: the truth. */
  readonly expiresIn?: number | 'absent';
  /** Default `both`. */
  readonly replyAs?: 'token' | 'access_token' | 'both';
  /** Whether POST works too (as OAuth2); otherwise 405. Default false. */
  readonly post?: boolean;
  /** What the challenge's realm says in place of the own token endpoint. */
  readonly realm?: string;
  /** Appended to the realm: `tenant=a`. The token endpoint refuses a request that lost it. */
  readonly realmQuery?: string;
  /** Default `fake`; `undefined` given in words = not in the challenge. */
  readonly service?: string | undefined;
  /** Default `repository:<name>:pull`, nothing for `/v2/`; `undefined` given in words = not in the challenge. */
  readonly scope?: string | undefined;
  /** How the scheme is written. Default `Bearer`. */
  readonly scheme?: string;
  /** Other challenges, put before the own one. */
  readonly challengesBefore?: readonly string[];
  /** Whether several challenges come in one header, joined by commas. Default false: one header each. */
  readonly joined?: boolean;
}

export type FakeAuth = { readonly mode: 'none' } | BasicAuthMode | BearerAuthMode;

interface Token {
  /** Absent: for no repository at all. */
  readonly repository: string | undefined;
  readonly expiresAtMs: number;
}

/** The access control of a fake registry: challenges, tokens, and who may pull what. */
export class FakeRegistryAuth {
  readonly #tokens = new Map<string, Token>();
  readonly #now: () => number;

  /** `now` = milliseconds, of any clock; tokens age by it. */
  constructor(now: () => number) {
    this.#now = now;
  }

  /** Tokens given so far, dead ones included. */
  get issued(): number {
    return this.#tokens.size;
  }

  /** Every token given so far stops working. */
  revoke(): void {
    for (const [text, token] of this.#tokens) this.#tokens.set(text, { ...token, expiresAtMs: -Infinity });
  }

  /** The refusal of a request for `repository` (absent: for `/v2/`), or `undefined` when it is allowed. */
  refusal(
    request: RecordedRequest,
    auth: FakeAuth,
    { repository, url }: { readonly repository: string | undefined; readonly url: string },
  ): Reply | undefined {
    if (auth.mode === 'none') return undefined;
    if (auth.mode === 'basic') {
      const user = findUser(request, auth.credentials);
      if (user === undefined) return unauthorized(['Basic realm="fake"'], false);
      return repository === undefined || mayPull(user, repository) ? undefined : errorReply(403, 'DENIED');
    }
    const text = /^Bearer (.+)$/i.exec(request.headers.authorization ?? '')?.[1];
    if (text !== undefined && auth.staticTokens?.includes(text) === true) return undefined;
    const token = text === undefined ? undefined : this.#tokens.get(text);
    const living = token !== undefined && token.expiresAtMs > this.#now();
    if (living && (repository === undefined || token.repository === repository)) return undefined;
    const error = text === undefined ? undefined : living ? 'insufficient_scope' : 'invalid_token';
    const own = challenge(auth, { repository, url, error });
    return unauthorized([...(auth.challengesBefore ?? []), own], auth.joined === true);
  }

  /** The token endpoint. */
  token(request: RecordedRequest, auth: FakeAuth): Reply {
    if (auth.mode !== 'bearer') return errorReply(404, 'UNSUPPORTED');
    const posted = request.method === 'POST';
    if (posted && auth.post !== true) return errorReply(405, 'UNSUPPORTED');
    for (const [name, value] of new URLSearchParams(auth.realmQuery)) {
      if (request.query.get(name) !== value) return errorReply(400, 'UNKNOWN');
    }
    const fields = posted ? new URLSearchParams(request.body) : request.query;
    const repository = /^repository:(.+):[a-z,*]+$/.exec(fields.get('scope') ?? '')?.[1];
    const user = posted ? formUser(fields, auth) : findUser(request, auth.credentials ?? []);
    if (user === undefined && (posted || request.headers.authorization !== undefined)) {
      return errorReply(401, 'UNAUTHORIZED');
    }
    const allowed = repository === undefined || mayGet(auth, user, repository);
    if (!allowed && auth.refusal === 'denied') return errorReply(403, 'DENIED');
    return this.#issue(auth, allowed ? repository : undefined);
  }

  #issue(auth: BearerAuthMode, repository: string | undefined): Reply {
    const text = `fake-${randomUUID()}`;
    const lifeMs = auth.tokenTtlMs ?? 300_000;
    this.#tokens.set(text, { repository, expiresAtMs: this.#now() + lifeMs });
    const { replyAs = 'both', expiresIn = Math.ceil(lifeMs / 1000) } = auth;
    return jsonReply(200, {
      ...(replyAs === 'access_token' ? {} : { token: text }),
      ...(replyAs === 'token' ? {} : { access_token: text }),
      ...(expiresIn === 'absent' ? {} : { expires_in: expiresIn }),
    });
  }
}

function challenge(
  auth: BearerAuthMode,
  about: { repository: string | undefined; url: string; error: string | undefined },
): string {
  const realm = `${auth.realm ?? `${about.url}/token`}${auth.realmQuery === undefined ? '' : `?${auth.realmQuery}`}`;
  const needed = about.repository === undefined ? undefined : `repository:${about.repository}:pull`;
  const scope = 'scope' in auth ? auth.scope : needed;
  const service = 'service' in auth ? auth.service : 'fake';
  const parameters = [
    `realm="${realm}"`,
    ...(service === undefined ? [] : [`service="${service}"`]),
    ...(scope === undefined ? [] : [`scope="${scope}"`]),
    ...(about.error === undefined ? [] : [`error="${about.error}"`]),
  ];
  return `${auth.scheme ?? 'Bearer'} ${parameters.join(',')}`;
}

function unauthorized(challenges: readonly string[], joined: boolean): Reply {
  return errorReply(401, 'UNAUTHORIZED', {
    'www-authenticate': joined ? challenges.join(', ') : challenges,
  });
}

function findUser(
  request: RecordedRequest,
  credentials: readonly FakeCredentials[],
): FakeCredentials | undefined {
  const encoded = /^Basic (.+)$/i.exec(request.headers.authorization ?? '')?.[1];
  if (encoded === undefined) return undefined;
  const text = Buffer.from(encoded, 'base64').toString();
  return credentials.find(({ username, password }) => text === `${username}:${password}`);
}

function formUser(fields: URLSearchParams, auth: BearerAuthMode): FakeCredentials | undefined {
  if (fields.get('grant_type') === 'refresh_token') {
    const token = fields.get('refresh_token');
    return auth.credentials?.find(
      ({ identityToken }) => identityToken !== undefined && identityToken === token,
    );
  }
  return auth.credentials?.find(
    ({ username, password }) => fields.get('username') === username && fields.get('password') === password,
  );
}

function mayPull(user: FakeCredentials, repository: string): boolean {
  return user.repositories?.test(repository) ?? true;
}

function mayGet(auth: BearerAuthMode, user: FakeCredentials | undefined, repository: string): boolean {
  const anonymous = auth.anonymous?.test(repository) ?? (auth.credentials ?? []).length === 0;
  return anonymous || (user !== undefined && mayPull(user, repository));
}
