import type { OutgoingHttpHeaders } from 'node:http';
import type { RepositoryKey } from '../metadata/metadata-store.ts';
import type { DistributionTarget, Endpoint } from '../oci/path.ts';
import { OCI_INDEX } from '../oci/media-type.ts';
import type { PullThrough } from '../pull-through/pull-through.ts';
import type { Exchange } from './exchange.ts';
import { cacheHeader } from './served-headers.ts';

type TagsEndpoint = Extract<Endpoint, { kind: 'tags' }>;
type ReferrersEndpoint = Extract<Endpoint, { kind: 'referrers' }>;

/** `GET /v2/<name>/tags/list`. The name in the answer is the one that was asked for. */
export async function serveTags(
  exchange: Exchange,
  pullThrough: PullThrough,
  key: RepositoryKey,
  request: {
    readonly target: DistributionTarget;
    readonly endpoint: TagsEndpoint;
    readonly publicUrl: string;
  },
): Promise<void> {
  const served = await pullThrough.tags(key, exchange.signal);
  exchange.served(served);
  const { endpoint } = request;
  const { tags, hasMore } = pageOf(served.value, endpoint);
  const headers: OutgoingHttpHeaders = {
    ...cacheHeader(served),
    'Content-Type': 'application/json; charset=utf-8',
  };
  const last = tags.at(-1);
  if (hasMore && last !== undefined) headers['Link'] = `<${nextPage(request, last)}>; rel="next"`;
  exchange.end(200, headers, Buffer.from(JSON.stringify({ name: endpoint.path, tags })));
}

/** The page after `last`, of `count` tags; all of the rest without a count (distribution spec, "Listing Tags"). */
export function pageOf(
  all: readonly string[],
  { count, last }: Pick<TagsEndpoint, 'count' | 'last'>,
): { readonly tags: readonly string[]; readonly hasMore: boolean } {
  const rest = last === undefined ? all : all.filter((tag) => tag > last);
  const tags = count === undefined ? rest : rest.slice(0, count);
  return { tags, hasMore: tags.length > 0 && tags.length < rest.length };
}

/** Built from what was parsed, never from `Host`: relative unless a public URL is configured. */
function nextPage(
  { target, endpoint, publicUrl }: { target: DistributionTarget; endpoint: TagsEndpoint; publicUrl: string },
  last: string,
): string {
  const leading = target.leading === undefined ? '' : `/${target.leading}`;
  const query = new URLSearchParams({ n: String(endpoint.count), last });
  if (target.ns !== undefined) query.set('ns', target.ns);
  return `${publicUrl}${leading}/v2/${endpoint.path}/tags/list?${query.toString()}`;
}

/** `GET /v2/<name>/referrers/<digest>`. */
export async function serveReferrers(
  exchange: Exchange,
  pullThrough: PullThrough,
  key: RepositoryKey,
  { digest, artifactTypes }: ReferrersEndpoint,
): Promise<void> {
  const served = await pullThrough.referrers(key, digest, exchange.signal);
  exchange.served(served);
  const isFiltered = artifactTypes.length > 0;
  const manifests = isFiltered
    ? served.value.filter(
        ({ artifactType }) => typeof artifactType === 'string' && artifactTypes.includes(artifactType),
      )
    : served.value;
  const headers: OutgoingHttpHeaders = { ...cacheHeader(served), 'Content-Type': OCI_INDEX };
  if (isFiltered) headers['OCI-Filters-Applied'] = 'artifactType';
  exchange.end(
    200,
    headers,
    Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: OCI_INDEX, manifests })),
  );
}
