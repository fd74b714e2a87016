import type { Digest } from '../../src/oci/digest.ts';
import { OCI_INDEX } from '../../src/oci/media-type.ts';
import { bytesSource } from './byte-source.ts';
import { FakeContent } from './fake-content.ts';
import { FakeHost, type FakeHostOptions } from './fake-host.ts';
import { FakeRegistryAuth } from './fake-registry-auth.ts';
import type { FakeRegistryBehaviour } from './fake-registry-behaviour.ts';
import type { FaultAction, Faults } from './fault.ts';
import type { BlobRecipe } from './generated-blob.ts';
import { pageReply } from './page-reply.ts';
import type { RecordedRequest, RequestFilter } from './recorded-request.ts';
import { contentReply, errorReply, jsonReply, type Reply, textReply } from './reply.ts';

export interface FakeRegistryOptions extends FakeHostOptions, FakeRegistryBehaviour {
  /** What it holds, when it is to share that with another. */
  readonly content?: FakeContent;
  /** Milliseconds; tokens age by it. Default: the process's monotonic clock. */
  readonly now?: () => number;
}

/** Answers a request as it stands. */
export type Plain = (request: RecordedRequest) => Reply;

/**
 * A registry's pull side over content in memory: a real HTTP server with access control, redirects and paging, that
 * records what it is asked and plays faults. Blobs are also at `/cdn/<digest>` without access control: what a
 * storage back end that registries redirect to looks like.
 */
export class FakeRegistry {
  readonly content: FakeContent;
  readonly auth: FakeRegistryAuth;
  readonly #host: FakeHost;
  #behaviour: FakeRegistryBehaviour;
  #pulled = 0;

  private constructor(options: FakeRegistryOptions, host: FakeHost) {
    this.#host = host;
    this.content = options.content ?? new FakeContent();
    this.auth = new FakeRegistryAuth(options.now ?? (() => performance.now()));
    this.#behaviour = options;
  }

  static async start(options: FakeRegistryOptions = {}): Promise<FakeRegistry> {
    const host = await FakeHost.start(options);
    const registry = new FakeRegistry(options, host);
    host.answer = (request, action) => registry.#answer(request, action);
    return registry;
  }

  /** From now on `answer` has the word; `plain` is what the registry would have said. */
  intercept(answer: (request: RecordedRequest, plain: Plain) => Reply): void {
    this.#host.answer = (request, action) => answer(request, (asked) => this.#answer(asked, action));
  }

  get url(): string {
    return this.#host.url;
  }
  get host(): string {
    return this.#host.host;
  }
  get port(): number {
    return this.#host.port;
  }
  get faults(): Faults {
    return this.#host.faults;
  }
  get requests(): readonly RecordedRequest[] {
    return this.#host.requests;
  }
  get connections(): number {
    return this.#host.connections;
  }
  get openConnections(): number {
    return this.#host.openConnections;
  }
  /** Requests to the token endpoint so far. */
  get tokenRequests(): number {
    return this.count({ path: /^\/token$/ });
  }

  count(filter: RequestFilter = {}): number {
    return this.#host.count(filter);
  }
  async received(filter: RequestFilter = {}, count = 1): Promise<void> {
    await this.#host.received(filter, count);
  }
  forget(): void {
    this.#host.forget();
  }
  async stop(): Promise<void> {
    await this.#host.stop();
  }
  async restart(): Promise<void> {
    await this.#host.restart();
  }
  async close(): Promise<void> {
    await this.#host.close();
  }

  /** Body bytes written in answer to GETs of one blob, or of all of them (by `/v2/` and by `/cdn/`; redirects not). */
  blobBodyBytes(digest?: string): number {
    return this.requests
      .filter(({ method, status, path }) => {
        const found = /^(?:\/v2\/.+\/blobs|\/cdn)\/([^/]+)$/.exec(path)?.[1];
        const served = status === 200 || status === 206;
        return method === 'GET' && served && found !== undefined && (digest ?? found) === found;
      })
      .reduce((sum, { bodyBytes }) => sum + bodyBytes, 0);
  }

  /** Where a blob is without access control: what `redirect` of another registry may return. */
  cdnUrl(digest: string): string {
    return `${this.url}/cdn/${digest}`;
  }

  /** Changes how it behaves from the next request on; what is not named stays. */
  configure(change: FakeRegistryBehaviour): void {
    this.#behaviour = { ...this.#behaviour, ...change };
    if (change.pullLimit) this.#pulled = 0;
  }

  addBlob(repository: string, blob: Uint8Array | BlobRecipe): Digest {
    return this.content.addBlob(repository, blob);
  }
  addManifest(
    repository: string,
    document: Uint8Array | string,
    mediaType: string,
    tags: readonly string[] = [],
  ): Digest {
    return this.content.addManifest(repository, document, mediaType, tags);
  }
  tag(repository: string, tag: string, digest: Digest): void {
    this.content.tag(repository, tag, digest);
  }
  untag(repository: string, tag: string): void {
    this.content.untag(repository, tag);
  }
  deleteManifest(repository: string, digest: Digest): void {
    this.content.deleteManifest(repository, digest);
  }
  deleteBlob(repository: string, digest: Digest): void {
    this.content.deleteBlob(repository, digest);
  }
  addReferrer(repository: string, subject: Digest, descriptor: Record<string, unknown>): void {
    this.content.addReferrer(repository, subject, descriptor);
  }

  #answer(request: RecordedRequest, action: FaultAction): Reply {
    const { auth = { mode: 'none' }, redirect, redirectStatus = 307 } = this.#behaviour;
    const { path, method } = request;
    if (path === '/token') return this.auth.token(request, auth);
    const stored = path.startsWith('/cdn/');
    const found = /^\/v2\/(.+)\/(blobs|manifests|tags|referrers)\/([^/]+)$/.exec(path);
    if (!stored && path !== '/v2/' && path !== '/v2' && !found) return textReply(404, 'page not found');
    if (method !== 'GET' && method !== 'HEAD') return errorReply(405, 'UNSUPPORTED');
    const [, repository, kind, reference = ''] = found ?? [];
    const refusal = stored ? undefined : this.auth.refusal(request, auth, { repository, url: this.url });
    if (refusal) return refusal;
    const location = redirect?.(request);
    if (location !== undefined) return textReply(redirectStatus, '', { location });
    if (stored) return this.#stored(request, action);
    if (repository === undefined) {
      return jsonReply(200, {}, { 'docker-distribution-api-version': 'registry/2.0' });
    }
    if (!this.content.find(repository)) return errorReply(404, 'NAME_UNKNOWN');
    if (kind === 'blobs') return this.#blob(request, action, { repository, reference });
    if (kind === 'manifests') return this.#manifest(request, { repository, reference });
    if (kind === 'tags') return this.#tags(request, repository);
    return this.#referrers(request, { repository, reference });
  }

  #stored(request: RecordedRequest, action: FaultAction): Reply {
    if (this.#behaviour.cdnRefusesAuthorization !== false && request.headers.authorization !== undefined) {
      return textReply(400, 'Only one auth mechanism allowed');
    }
    const content = this.content.blobAnywhere(request.path.slice('/cdn/'.length));
    if (!content) return textReply(404, 'NoSuchKey');
    const full = { status: 200, headers: { 'content-type': 'binary/octet-stream' }, content };
    return contentReply({ ...full, etag: '"stored"' }, request.headers, action);
  }

  #blob(
    request: RecordedRequest,
    action: FaultAction,
    { repository, reference }: { repository: string; reference: string },
  ): Reply {
    const refused = this.#headRefusal(request);
    if (refused) return refused;
    const content = this.content.find(repository)?.blobs.get(reference as Digest);
    if (!content) return errorReply(404, 'BLOB_UNKNOWN');
    const headers = { 'content-type': 'application/octet-stream', ...this.#digestHeader(reference) };
    const sized = this.#behaviour.omitContentLength !== true;
    const full = { status: 200, headers, content, sized, etag: `"${reference}"` };
    const reply = contentReply(full, request.headers, action);
    return this.#behaviour.omitEtag === true
      ? { ...reply, headers: { ...reply.headers, etag: undefined } }
      : reply;
  }

  #manifest(
    request: RecordedRequest,
    { repository, reference }: { repository: string; reference: string },
  ): Reply {
    const refused = this.#headRefusal(request) ?? this.#pullRefusal(request);
    if (refused) return refused;
    const found = this.content.find(repository);
    const digest = found?.tags.get(reference) ?? (reference as Digest);
    const manifest = found?.manifests.get(digest);
    if (!manifest) return errorReply(404, 'MANIFEST_UNKNOWN', this.#pullLimitHeaders());
    const etag = `"${digest}"`;
    const headers = {
      'content-type': manifest.mediaType,
      ...this.#digestHeader(digest),
      ...(this.#behaviour.omitEtag === true ? {} : { etag }),
      ...this.#pullLimitHeaders(),
    };
    if (request.headers['if-none-match'] === etag) return textReply(304, '', headers);
    const sized = this.#behaviour.omitContentLength !== true;
    return { status: 200, headers, content: bytesSource(manifest.bytes), sized };
  }

  #tags(request: RecordedRequest, repository: string): Reply {
    const names = [...(this.content.find(repository)?.tags.keys() ?? [])].sort();
    return pageReply({ request, entries: names, keyOf: (name) => name, ...this.#paging() }, (tags, link) =>
      jsonReply(200, { name: repository, tags }, { link }),
    );
  }

  #referrers(
    request: RecordedRequest,
    { repository, reference }: { repository: string; reference: string },
  ): Reply {
    if (this.#behaviour.referrers === false) return textReply(404, '404 page not found');
    const wanted = request.query.get('artifactType');
    const all = this.content.find(repository)?.referrers.get(reference as Digest) ?? [];
    const entries = wanted === null ? all : all.filter((entry) => entry['artifactType'] === wanted);
    const applied = wanted === null ? undefined : 'artifactType';
    return pageReply({ request, entries, keyOf: digestText, ...this.#paging() }, (manifests, link) =>
      jsonReply(
        200,
        { schemaVersion: 2, mediaType: OCI_INDEX, manifests },
        { 'content-type': OCI_INDEX, 'oci-filters-applied': applied, link },
      ),
    );
  }

  #paging(): { size: number; origin: string } {
    const { pageSize = Infinity, links } = this.#behaviour;
    return { size: pageSize, origin: links === 'absolute' ? this.url : '' };
  }

  #headRefusal({ method }: RecordedRequest): Reply | undefined {
    const status = this.#behaviour.headRefused;
    return method === 'HEAD' && status !== undefined ? errorReply(status, 'UNSUPPORTED') : undefined;
  }

  /** Counts a manifest GET, and refuses it when the pull limit is used up. */
  #pullRefusal({ method }: RecordedRequest): Reply | undefined {
    const limit = this.#behaviour.pullLimit;
    if (!limit || method !== 'GET') return undefined;
    if (this.#pulled >= limit.remaining) return errorReply(429, 'TOOMANYREQUESTS', this.#pullLimitHeaders());
    this.#pulled += 1;
    return undefined;
  }

  #pullLimitHeaders(): Record<string, string> {
    const limit = this.#behaviour.pullLimit;
    if (!limit) return {};
    const remaining = limit.remaining - this.#pulled;
    return {
      'ratelimit-limit': `${limit.limit};w=21600`,
      'ratelimit-remaining': `${remaining};w=21600`,
      'docker-ratelimit-source': '192.0.2.1',
    };
  }

  #digestHeader(digest: string): Record<string, string> {
    return this.#behaviour.omitContentDigest === true ? {} : { 'docker-content-digest': digest };
  }
}

function digestText(entry: Record<string, unknown>): string {
  return String(entry['digest']);
}
