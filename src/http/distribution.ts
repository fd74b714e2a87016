import type { IncomingMessage, OutgoingHttpHeaders } from 'node:http';
import type { Clock } from '../clock.ts';
import { OciError } from '../oci/error.ts';
import { acceptedManifestTypes } from '../oci/media-type.ts';
import { type DistributionTarget, type Endpoint, parseTarget } from '../oci/path.ts';
import { printReference } from '../oci/reference.ts';
import type { PullThrough } from '../pull-through/pull-through.ts';
import { repositoryOf, type UpstreamRoutes } from '../pull-through/upstream-routes.ts';
import type { RepositoryKey } from '../metadata/metadata-store.ts';
import { serveBlob } from './blob-endpoint.ts';
import { errorAnswer, errorBody } from './error-response.ts';
import type { Exchange } from './exchange.ts';
import { HotAnswers } from './hot-answers.ts';
import { serveReferrers, serveTags } from './list-endpoints.ts';
import { matchesEtag } from './range.ts';
import { cacheHeader } from './served-headers.ts';

export interface DistributionParts {
  readonly pullThrough: PullThrough;
  /** Asked at each request, since they may change. */
  readonly upstreams: { readonly routes: UpstreamRoutes };
  /** Put before the paths of links; '' = links are relative. */
  readonly publicUrl: string;
  readonly clock: Pick<Clock, 'monotonic'>;
}

/**
 * The pull side of the distribution API. A plain function on Node's request and response: the raw target, a socket that
 * can be destroyed in the middle of a body, and no copy of the body are what it is about.
 */
export class Distribution {
  readonly #parts: DistributionParts;
  readonly #hot: HotAnswers;

  constructor(parts: DistributionParts) {
    this.#parts = parts;
    this.#hot = new HotAnswers(parts.clock, () => parts.pullThrough.generation);
  }

  /** Serves one request to its end. Never rejects: what goes wrong is answered, or ends the connection. */
  async serve(exchange: Exchange): Promise<void> {
    try {
      const hot = this.#hot.find(exchange.request);
      if (typeof hot === 'object') {
        exchange.repeat(hot, () => this.#hot.leftMs(exchange.request));
        return;
      }
      exchange.keep = hot;
      await this.#dispatch(exchange);
    } catch (error) {
      fail(exchange, error);
    }
  }

  async #dispatch(exchange: Exchange): Promise<void> {
    const { request, record } = exchange;
    assertReadOnly(request);
    const host = singleHost(request);
    const target = parseTarget(request.url ?? '');
    if (target === undefined) {
      answerError(exchange, 404, {
        code: 'UNSUPPORTED',
        message: 'this is no endpoint of the pull side of the API',
      });
      return;
    }
    const { endpoint } = target;
    record.kind = endpoint.kind;
    const route = this.#parts.upstreams.routes.find(target, { host });
    record.upstream = route.upstream;
    if (route.namespace !== undefined) exchange.commonHeaders['OCI-Namespace'] = route.namespace;
    if (endpoint.kind === 'base') {
      exchange.end(200, { 'Content-Type': 'application/json' }, Buffer.from('{}'));
      return;
    }
    const key = repositoryOf(route);
    record.repository = key.repository;
    await this.#serveEndpoint(exchange, key, endpoint, target);
  }

  async #serveEndpoint(
    exchange: Exchange,
    key: RepositoryKey,
    endpoint: Exclude<Endpoint, { kind: 'base' }>,
    target: DistributionTarget,
  ): Promise<void> {
    const { pullThrough, publicUrl } = this.#parts;
    switch (endpoint.kind) {
      case 'manifest':
        await this.#serveManifest(exchange, key, endpoint);
        return;
      case 'blob':
        exchange.record.reference = endpoint.digest;
        await serveBlob(exchange, pullThrough, key, endpoint.digest);
        return;
      case 'tags':
        await serveTags(exchange, pullThrough, key, { target, endpoint, publicUrl });
        return;
      case 'referrers':
        exchange.record.reference = endpoint.digest;
        await serveReferrers(exchange, pullThrough, key, endpoint);
    }
  }

  async #serveManifest(
    exchange: Exchange,
    key: RepositoryKey,
    { reference }: Extract<Endpoint, { kind: 'manifest' }>,
  ): Promise<void> {
    const { pullThrough } = this.#parts;
    const { record, signal } = exchange;
    record.reference = printReference(reference);
    const accept = exchange.request.headers.accept;
    const accepted = acceptedManifestTypes(accept === undefined ? [] : [accept]);
    const condition = exchange.header('if-none-match');
    if (exchange.isHead || condition !== undefined) {
      const served = await pullThrough.manifestDescription(key, reference, accepted, signal);
      exchange.served(served);
      const headers = { ...manifestHeaders(served.value), ...cacheHeader(served) };
      const isUnchanged = matchesEtag(condition, `"${served.value.digest}"`);
      if (isUnchanged || exchange.isHead) {
        exchange.endWithoutBody(isUnchanged ? 304 : 200, {
          ...headers,
          ...(!isUnchanged && { 'Content-Length': served.value.sizeBytes }),
        });
        return;
      }
    }
    const served = await pullThrough.manifest(key, reference, accepted, signal);
    exchange.served(served);
    exchange.end(200, { ...manifestHeaders(served.value), ...cacheHeader(served) }, served.value.bytes);
  }
}

function manifestHeaders(facts: { digest: string; mediaType: string }): OutgoingHttpHeaders {
  return {
    'Content-Type': facts.mediaType,
    'Docker-Content-Digest': facts.digest,
    ETag: `"${facts.digest}"`,
    'X-Content-Type-Options': 'nosniff',
  };
}

/** There is nothing to write to: other methods are refused before a byte of their body is read. */
function assertReadOnly(request: IncomingMessage): void {
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    throw new OciError('UNSUPPORTED', 'entrepot is read-only: only GET and HEAD are served');
  }
  // A line break in a target leaves a first line that reads as HTTP/0.9.
  if (request.httpVersionMajor !== 1) throw new OciError('UNKNOWN', 'only HTTP/1.1 is served');
  const { 'content-length': length, 'transfer-encoding': coding } = request.headers;
  if (coding !== undefined || (length !== undefined && Number(length) !== 0)) {
    throw new OciError('UNKNOWN', 'a request with a body is not served');
  }
}

/** Node lets two `Host` headers pass; whoever sends them wants two readers to see two hosts. */
function singleHost(request: IncomingMessage): string | undefined {
  const { rawHeaders } = request;
  let count = 0;
  for (let at = 0; at < rawHeaders.length; at += 2) {
    if (rawHeaders[at]?.length === 4 && rawHeaders[at]?.toLowerCase() === 'host') count += 1;
  }
  if (count > 1) throw new OciError('UNKNOWN', 'a request has one Host header');
  return request.headers.host?.toLowerCase();
}

function fail(exchange: Exchange, error: unknown): void {
  const { response, record } = exchange;
  record.error = error;
  if (exchange.status !== undefined || response.destroyed) {
    exchange.destroy();
    return;
  }
  const answer = errorAnswer(error, record.kind);
  const headers: OutgoingHttpHeaders = {};
  if (answer.retryAfterSeconds !== undefined) headers['Retry-After'] = answer.retryAfterSeconds;
  if (answer.status === 405) headers['Allow'] = 'GET, HEAD';
  // A refused request may have a body behind it that nobody is going to read.
  if (answer.status === 405 || answer.status === 400) headers['Connection'] = 'close';
  answerError(exchange, answer.status, answer, headers);
}

function answerError(
  exchange: Exchange,
  status: number,
  error: Parameters<typeof errorBody>[0],
  headers: OutgoingHttpHeaders = {},
): void {
  exchange.end(status, { ...headers, 'Content-Type': 'application/json' }, errorBody(error));
}
