import { randomUUID } from 'node:crypto';
import type { LookupAddress } from 'node:dns';
import type { LookupFunction } from 'node:net';
import type { FakeCredentials } from '../fake-registry-auth.ts';
import { FakeRegistry, type Plain } from '../fake-registry.ts';
import type { RecordedRequest } from '../recorded-request.ts';
import { jsonReply, type Reply, textReply } from '../reply.ts';

/** How one registry differs on the wire from the specification, and how it is to be configured. */
export interface Wire {
  /** What the tests call it. */
  readonly title: string;
  /** The upstream's name. */
  readonly upstream: string;
  /** The host that is asked. */
  readonly host: string;
  /** Token services and storage: every other name that it answers under. */
  readonly otherHosts: readonly string[];
  /** The profile that the upstream is to have; `chosen`: its host does not tell, the configuration does. */
  readonly profile: string;
  readonly chosen?: boolean;
  /** Absent: nothing may be pulled anonymously. */
  readonly publicRepository?: string | undefined;
  /** Absent: everything is public. */
  readonly privateRepository?: string | undefined;
  readonly credentials?: Pick<FakeCredentials, 'username' | 'password'>;
  /** False: it has no referrers API. */
  readonly referrers: boolean;
  /** What our client gets for a repository that is not there, with credentials; without it is 404 always. */
  readonly missingWithCredentials: 403 | 404;
  /** True: it gives any blob of any repository, whichever is asked. */
  readonly sharesBlobs?: boolean;
  /** True: to wrong credentials it says 403, as to good ones that may not. */
  readonly refusesBy403?: boolean;
  /** The answers of a registry that limits us. */
  readonly limits: readonly WireLimit[];
  readonly answer: (request: WireRequest, registry: EmulatedRegistry) => Reply;
}

export interface WireLimit {
  readonly what: string;
  readonly status?: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  /** Seconds that it names, in a header that counts. */
  readonly retryAfter?: number;
}

/** A request, and what of the distribution API it is about. */
export interface WireRequest extends RecordedRequest {
  /** Lower case, without the port. */
  readonly host: string;
  readonly repository: string | undefined;
  readonly kind: 'manifests' | 'blobs' | 'tags' | 'referrers' | undefined;
  readonly reference: string;
  /** As the specification has it, for whoever may see it. `path`: in place of the request's own. */
  readonly plain: (path?: string) => Reply;
}

interface Token {
  readonly repository: string | undefined;
  isAlive: boolean;
}

/** A server that answers under all host names of a registry, as that does. Plain HTTP, told apart by `Host`. */
export class EmulatedRegistry {
  readonly wire: Wire;
  readonly registry: FakeRegistry;
  readonly #tokens = new Map<string, Token>();
  readonly #signatures = new Map<string, string>();
  #plain: Plain = () => textReply(500);

  private constructor(wire: Wire, registry: FakeRegistry) {
    this.wire = wire;
    this.registry = registry;
    registry.intercept((request, plain) => {
      this.#plain = plain;
      return this.#answer(request);
    });
  }

  static async start(wire: Wire): Promise<EmulatedRegistry> {
    return new EmulatedRegistry(wire, await FakeRegistry.start());
  }

  async close(): Promise<void> {
    await this.registry.close();
  }

  /** `http://host:port`, of any of its hosts. */
  url(host: string = this.wire.host): string {
    return `http://${host}:${this.registry.port}`;
  }

  /** What leads every name to it, and names that are not its own nowhere. */
  get lookup(): LookupFunction {
    const known = new Set([this.wire.host, ...this.wire.otherHosts]);
    return (hostname, options, callback) => {
      const found: LookupAddress[] = known.has(hostname) ? [{ address: '127.0.0.1', family: 4 }] : [];
      if (found[0] === undefined) callback(new Error(`unknown host ${hostname}`), '', 4);
      else if (options.all === true) callback(null, found);
      else callback(null, found[0].address, 4);
    };
  }

  /** Its other hosts, as `trustedHosts` names them: they are at a loopback address here. */
  get trustedHosts(): string[] {
    return this.wire.otherHosts.map((host) => `${host}:${this.registry.port}`);
  }

  /** The requests that came under one of its names. */
  requestsTo(host: string): readonly RecordedRequest[] {
    return this.registry.requests.filter((request) => hostOf(request) === host);
  }

  /** Every token and every signed URL given so far stops working. */
  expireAll(): void {
    for (const token of this.#tokens.values()) token.isAlive = false;
    this.#signatures.clear();
  }

  // --- for wires ---------------------------------------------------------------------------------------------------

  isPublic(repository: string | undefined): boolean {
    return repository !== undefined && repository === this.wire.publicRepository;
  }

  /** `undefined`: nobody; `wrong`: somebody else. */
  user(request: RecordedRequest): 'known' | 'wrong' | undefined {
    const encoded = /^Basic (.+)$/.exec(request.headers.authorization ?? '')?.[1];
    if (encoded === undefined) return undefined;
    const { username, password } = this.wire.credentials ?? {};
    return Buffer.from(encoded, 'base64').toString() === `${username}:${password}` ? 'known' : 'wrong';
  }

  /** Whether this user may pull it: what is there, and what is public or the user's. */
  mayPull(repository: string | undefined, user: 'known' | 'wrong' | undefined): boolean {
    if (repository === undefined || !this.registry.content.find(repository)) return false;
    return this.isPublic(repository) || user === 'known';
  }

  /** A token that is good for one repository, or for none. */
  issue(repository: string | undefined): string {
    const text = `${this.wire.upstream.replace(/[^a-z]/g, '')}-${randomUUID()}`;
    this.#tokens.set(text, { repository, isAlive: true });
    return text;
  }

  /** What the request's Bearer token is worth for the repository that it is about. */
  bearer(request: WireRequest): 'absent' | 'invalid' | 'insufficient' | 'good' {
    const text = /^Bearer (.+)$/.exec(request.headers.authorization ?? '')?.[1];
    if (text === undefined) return 'absent';
    const token = this.#tokens.get(text);
    if (token?.isAlive !== true) return 'invalid';
    return token.repository === request.repository ? 'good' : 'insufficient';
  }

  /** A URL of the storage behind it, good for GETs of one blob until `expireAll`. */
  signed(host: string, digest: string, query = 'X-Amz-Expires=1200&X-Amz-Signature'): string {
    const signature = randomUUID();
    this.#signatures.set(signature, digest);
    return `${this.url(host)}/bucket/${digest}?${query}=${signature}`;
  }

  /** The storage: refuses a second credential, as S3 or Azure do, and what is not signed. */
  storage(request: WireRequest, kind: 's3' | 'azure' | 'gcs' = 's3'): Reply {
    if (request.headers.authorization !== undefined)
      return storageError(400, kind === 'azure' ? 'InvalidAuthenticationInfo' : 'InvalidArgument');
    const digest = request.path.slice(request.path.lastIndexOf('/') + 1);
    const isSigned = [...request.query.values()].some((value) => this.#signatures.get(value) === digest);
    if (!isSigned) return storageError(403, kind === 'azure' ? 'AuthenticationFailed' : 'AccessDenied');
    // What is signed for GET is no good for HEAD at S3.
    if (kind === 's3' && request.method === 'HEAD') return storageError(403, 'SignatureDoesNotMatch');
    if (kind === 'gcs' && request.headers.range?.includes(',') === true)
      return storageError(400, 'InvalidArgument');
    return this.stored(request, digest);
  }

  /** A blob as storage without access control has it. */
  stored(request: WireRequest, digest: string): Reply {
    return this.#plain({ ...request, path: `/cdn/${digest}` });
  }

  #answer(request: RecordedRequest): Reply {
    const found = /^\/v2\/(.+)\/(blobs|manifests|tags|referrers)\/([^/]+)$/.exec(request.path);
    const kind = found?.[2] as WireRequest['kind'];
    return this.wire.answer(
      {
        ...request,
        host: hostOf(request),
        repository: found?.[1],
        kind,
        reference: found?.[3] ?? '',
        plain: (path = request.path) => this.#plain({ ...request, path }),
      },
      this,
    );
  }
}

function hostOf({ headers }: RecordedRequest): string {
  return (headers.host ?? '').replace(/:\d+$/, '').toLowerCase();
}

/** As object stores word them. */
function storageError(status: number, code: string): Reply {
  return textReply(status, `<?xml version="1.0"?><Error><Code>${code}</Code></Error>`, {
    'content-type': 'application/xml',
  });
}

/** An error as registries word it. */
export function ociError(
  status: number,
  code: string,
  message: string,
  { detail, headers = {} }: { detail?: unknown; headers?: Reply['headers'] } = {},
): Reply {
  return jsonReply(status, { errors: [{ code, message, ...(detail !== undefined && { detail }) }] }, headers);
}

export function redirectTo(location: string, status = 307, headers: Reply['headers'] = {}): Reply {
  return textReply(status, '', { location, ...headers });
}

/** The repository in the token endpoint's `scope`. */
export function scopeOf({ query }: RecordedRequest): string | undefined {
  return /^repository:(.+):pull$/.exec(query.get('scope') ?? '')?.[1];
}

export function without(reply: Reply, ...names: readonly string[]): Reply {
  return {
    ...reply,
    headers: { ...reply.headers, ...Object.fromEntries(names.map((name) => [name, undefined])) },
  };
}

export function withHeaders(reply: Reply, headers: Reply['headers']): Reply {
  return { ...reply, headers: { ...reply.headers, ...headers } };
}
