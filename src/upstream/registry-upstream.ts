import type { UpstreamConfig } from '../config.ts';
import { type Digest, digestOf } from '../oci/digest.ts';
import { MANIFEST_SIZE_LIMIT } from '../oci/manifest.ts';
import { bareMediaType, OCI_INDEX } from '../oci/media-type.ts';
import { isTag, printReference, type Reference, type RepositoryName } from '../oci/reference.ts';
import { extentOf, rangeHeaders, strongEtag } from './blob-answer.ts';
import { discard, readBounded } from './bounded-body.ts';
import { Deadline } from './deadline.ts';
import type { TransportResponse } from './exchange.ts';
import { checkClaim, claimedDigest, isText, manifestOf } from './manifest-answer.ts';
import { type PagedList, readPages } from './paged-list.ts';
import { giveBack } from './read-blocks.ts';
import { RegistryClient, type RegistryRequest } from './registry-client.ts';
import type { RegistryHost } from './registry-host.ts';
import type {
  BlobRange,
  BlobTransfer,
  ManifestDocument,
  ManifestHead,
  ManifestOptions,
  Patience,
  Upstream,
} from './upstream.ts';
import { UpstreamError } from './upstream-error.ts';
import { silentObserver, type UpstreamObserver } from './upstream-observer.ts';

const PAGE_COUNT_LIMIT = 200;
const TAG_COUNT_LIMIT = 200_000;
const REFERRER_COUNT_LIMIT = 20_000;
const TAGS_PAGE_LIMIT_BYTES = 8 * 1024 * 1024;
/** 200,000 tags of 128 characters, and their quotes. */
const TAGS_LIMIT_BYTES = 32 * 1024 * 1024;
const REFERRERS_PAGE_LIMIT_BYTES = 4 * 1024 * 1024;
/** Descriptors are kept as they are, annotations and all: two full pages of what the specification wants to be small. */
const REFERRERS_LIMIT_BYTES = 8 * 1024 * 1024;
/** All pages together; each has its own deadline besides. */
const LIST_LIMIT_MS = 120_000;

const EMPTY_BLOBS: ReadonlySet<Digest> = new Set([
  digestOf(Buffer.alloc(0), 'sha256'),
  digestOf(Buffer.alloc(0), 'sha512'),
]);

/** What registries say to a HEAD that they do not support; signed storage URLs, made for GET, say 403. */
const HEAD_REFUSALS = new Set([400, 403, 405, 501]);
/** What registries without a referrers API say besides 404. */
const NO_REFERRERS = new Set([400, 405, 501]);

export interface RegistryUpstreamOptions {
  /** What it is called in messages. */
  readonly name: string;
  /** Shared with the registry's other accounts; whoever made it closes it. */
  readonly host: RegistryHost;
  readonly auth: UpstreamConfig['auth'];
  /** Where `auth` stands in the configuration. Default: `upstreams.<name>.auth`. */
  readonly authKeyPath?: string | undefined;
  /** Default: nobody looks. */
  readonly observer?: UpstreamObserver | undefined;
  /** No operation has more patience than this, whatever it asks for. */
  readonly patienceLimitMs?: number | undefined;
  /** As in RegistryClientOptions. */
  readonly headersLimitMs?: number | undefined;
}

/** A registry over HTTP, as one account sees it. Opens no connection before the first call. */
export class RegistryUpstream implements Upstream {
  readonly name: string;
  readonly #host: RegistryHost;
  readonly #client: RegistryClient;

  constructor(options: RegistryUpstreamOptions) {
    const { name, host, auth, observer = silentObserver, patienceLimitMs, headersLimitMs } = options;
    const { authKeyPath = `upstreams.${name}.auth` } = options;
    this.name = name;
    this.#host = host;
    this.#client = new RegistryClient({
      host,
      name,
      auth,
      authKeyPath,
      observer,
      patienceLimitMs,
      headersLimitMs,
    });
  }

  async headManifest(
    repository: RepositoryName,
    reference: Reference,
    options: ManifestOptions,
    signal: AbortSignal,
  ): Promise<ManifestHead> {
    const request = manifestRequest(repository, reference, options);
    const headers = await this.#head(request, signal);
    if (headers === undefined) return { digest: undefined, mediaType: undefined, sizeBytes: undefined };
    if ('digest' in reference) checkClaim(headers, reference.digest);
    const mediaType = bareMediaType(headers.one('content-type'));
    return {
      digest: claimedDigest(headers),
      mediaType: this.#host.profile.textManifests && isText(mediaType) ? undefined : mediaType,
      sizeBytes: headers.contentLength(),
    };
  }

  async getManifest(
    repository: RepositoryName,
    reference: Reference,
    options: ManifestOptions,
    signal: AbortSignal,
  ): Promise<ManifestDocument> {
    const request = manifestRequest(repository, reference, options);
    for (let isLast = false; ; isLast = true) {
      const response = await this.#client.send({ ...request, method: 'GET' }, signal);
      await expectWhole(response);
      try {
        const bytes = await readBounded(response.body, MANIFEST_SIZE_LIMIT);
        return manifestOf(bytes, response.headers, reference, this.#host.profile.textManifests);
      } catch (error) {
        this.#client.failed('manifest', error, signal);
        // Cut in the middle: a manifest is too small to resume, and a pull too dear to lose; once more, and no more.
        const isCut = error instanceof UpstreamError && error.reason === 'unavailable';
        if (!isCut || isLast) throw error;
      }
    }
  }

  async headBlob(
    repository: RepositoryName,
    digest: Digest,
    signal: AbortSignal,
  ): Promise<number | undefined> {
    const request = { kind: 'blob', repository, endpoint: `/blobs/${digest}` } as const;
    const headers = this.#host.profile.headBlobs ? await this.#head(request, signal) : undefined;
    if (headers !== undefined) checkClaim(headers, digest);
    const isEmpty = EMPTY_BLOBS.has(digest);
    if (headers !== undefined && isEmpty) return 0;
    const size = headers?.contentLength();
    // Some write 0 where a HEAD has no body.
    if (size !== undefined && size !== 0) return size;
    // No word of the size: one byte brings it, in Content-Range.
    try {
      const { body, sizeBytes } = await this.getBlob(repository, digest, { start: 0, end: 1 }, signal);
      body.destroy();
      if (isEmpty) return 0;
      return sizeBytes === 0 ? undefined : sizeBytes;
    } catch (error) {
      // It is there, and has no first byte.
      if (isEmpty && error instanceof UpstreamError && error.status === 416) return 0;
      throw error;
    }
  }

  async getBlob(
    repository: RepositoryName,
    digest: Digest,
    range: BlobRange,
    signal: AbortSignal,
  ): Promise<BlobTransfer> {
    const { isOptional } = range;
    const asked = { repository, endpoint: `/blobs/${digest}`, headers: rangeHeaders(range) };
    const haste = isOptional === true ? { isOptional, patienceMs: 0 } : {};
    const response = await this.#client.send({ kind: 'blob', method: 'GET', ...asked, ...haste }, signal);
    try {
      checkClaim(response.headers, digest);
      const etag = strongEtag(response.headers.one('etag'));
      return { ...extentOf(response, range), etag, body: response.body, giveBack };
    } catch (error) {
      this.#client.failed('blob', error, signal);
      response.body.destroy();
      throw error;
    }
  }

  async listTags(
    repository: RepositoryName,
    options: Patience,
    signal: AbortSignal,
  ): Promise<readonly string[]> {
    const list = (query: string): Promise<readonly string[]> =>
      this.#list<string>(
        { kind: 'tags', method: 'GET', repository, endpoint: '/tags/list', ...patienceOf(options) },
        signal,
        {
          query,
          parse: tagsOf,
          pageLimitBytes: TAGS_PAGE_LIMIT_BYTES,
          totalLimitBytes: TAGS_LIMIT_BYTES,
          entryCountLimit: TAG_COUNT_LIMIT,
        },
      );
    const { tagsPerPage } = this.#host.profile;
    if (tagsPerPage === 0) return list('');
    try {
      return await list(`?n=${tagsPerPage}`);
    } catch (error) {
      // PAGINATION_NUMBER_INVALID of a registry with a smaller limit: then as it likes.
      if (error instanceof UpstreamError && error.status === 400) return list('');
      throw error;
    }
  }

  async listReferrers(
    repository: RepositoryName,
    digest: Digest,
    options: Patience,
    signal: AbortSignal,
  ): Promise<readonly Record<string, unknown>[]> {
    const missing = (status: number): UpstreamError =>
      new UpstreamError('not-found', `${this.name} has no referrers API`, { status });
    if (!this.#host.profile.referrers) throw missing(404);
    const request = {
      kind: 'referrers',
      method: 'GET',
      repository,
      endpoint: `/referrers/${digest}`,
      ...patienceOf(options),
    } as const;
    try {
      return await this.#list<Record<string, unknown>>(
        { ...request, headers: { accept: OCI_INDEX } },
        signal,
        {
          query: '',
          parse: referrersOf,
          pageLimitBytes: REFERRERS_PAGE_LIMIT_BYTES,
          totalLimitBytes: REFERRERS_LIMIT_BYTES,
          entryCountLimit: REFERRER_COUNT_LIMIT,
        },
      );
    } catch (error) {
      if (error instanceof UpstreamError && error.status !== undefined && NO_REFERRERS.has(error.status)) {
        throw missing(error.status);
      }
      throw error;
    }
  }

  blobWasWrong(): void {
    // There is nobody else to ask.
  }

  close(): Promise<void> {
    this.#client.close();
    return Promise.resolve();
  }

  /** The headers of a HEAD; `undefined` when the upstream refuses HEADs. */
  async #head(
    request: Omit<RegistryRequest, 'method'>,
    signal: AbortSignal,
  ): Promise<TransportResponse['headers'] | undefined> {
    try {
      const response = await this.#client.send({ ...request, method: 'HEAD' }, signal);
      discard(response.body);
      return response.headers;
    } catch (error) {
      const refused =
        error instanceof UpstreamError && error.status !== undefined && HEAD_REFUSALS.has(error.status);
      if (refused) return undefined;
      throw error;
    }
  }

  async #list<T>(
    request: RegistryRequest,
    signal: AbortSignal,
    list: Pick<PagedList<T>, 'query' | 'parse' | 'pageLimitBytes' | 'totalLimitBytes' | 'entryCountLimit'>,
  ): Promise<readonly T[]> {
    const message = `${this.name} did not finish a list in time`;
    const deadline = new Deadline({ clock: this.#host.clock, ms: LIST_LIMIT_MS, message }, signal);
    const { endpoint, repository } = request;
    try {
      return await readPages({
        ...list,
        endpoint,
        url: this.#host.url(`/v2/${repository}${endpoint}`),
        pageCountLimit: PAGE_COUNT_LIMIT,
        fetch: async (endpointAndQuery) => {
          const response = await this.#client.send(
            { ...request, endpoint: endpointAndQuery },
            deadline.signal,
          );
          await expectWhole(response);
          return response;
        },
      });
    } finally {
      deadline.close();
    }
  }
}

function manifestRequest(
  repository: RepositoryName,
  reference: Reference,
  { accept, ...patience }: ManifestOptions,
): Omit<RegistryRequest, 'method'> {
  const endpoint = `/manifests/${printReference(reference)}`;
  return {
    kind: 'manifest',
    repository,
    endpoint,
    headers: { accept: accept.join(', ') },
    ...patienceOf(patience),
  };
}

function patienceOf({ patienceMs }: Patience): { patienceMs?: number } {
  return patienceMs === undefined ? {} : { patienceMs };
}

/** @throws UpstreamError `protocol` for any 2xx but 200 */
async function expectWhole({ status, body, url }: TransportResponse): Promise<void> {
  if (status === 200) return;
  body.destroy();
  throw new UpstreamError('protocol', `${url.host} answered ${status} instead of 200`, { status });
}

/** `null` is an empty list (Nexus); what is not a tag is left out (JFrog lists digests). */
function tagsOf(document: unknown): readonly string[] {
  const tags =
    typeof document === 'object' && document !== null
      ? (document as Record<string, unknown>)['tags']
      : undefined;
  if (tags === null) return [];
  if (!Array.isArray(tags))
    throw new UpstreamError('protocol', 'the upstream answered without a list of tags');
  return tags.filter((tag): tag is string => typeof tag === 'string' && isTag(tag));
}

/** Anything but an index means that something else answers there (a login page): no referrers API. */
function referrersOf(document: unknown, { headers }: TransportResponse): readonly Record<string, unknown>[] {
  const isIndex = bareMediaType(headers.one('content-type')) === OCI_INDEX;
  const manifests =
    isIndex && typeof document === 'object' && document !== null
      ? (document as Record<string, unknown>)['manifests']
      : undefined;
  if (!Array.isArray(manifests)) throw new UpstreamError('not-found', 'the upstream has no referrers API');
  return manifests.filter(
    (entry): entry is Record<string, unknown> =>
      typeof entry === 'object' && entry !== null && !Array.isArray(entry),
  );
}
