import { readBounded } from './bounded-body.ts';
import type { TransportResponse } from './exchange.ts';
import { bareHostname } from './host-trust.ts';
import { parseNextLink } from './next-link.ts';
import { UpstreamError } from './upstream-error.ts';

export interface PagedList<T> {
  /** Below `/v2/<repository>`, without a query. */
  readonly endpoint: string;
  /** The first page's query, with its `?`, or empty. */
  readonly query: string;
  /** Where the list really is, for resolving relative links. */
  readonly url: URL;
  readonly fetch: (endpointAndQuery: string) => Promise<TransportResponse>;
  readonly parse: (document: unknown, response: TransportResponse) => readonly T[];
  readonly pageLimitBytes: number;
  /** All pages together. */
  readonly totalLimitBytes: number;
  readonly pageCountLimit: number;
  readonly entryCountLimit: number;
}

/**
 * All entries of all pages. Of a `Link` only the query is used, and only if it names the upstream's host: no page can
 * lead to another host, repository or endpoint.
 * @throws UpstreamError `protocol` beyond the bounds, for a link elsewhere, and for links that go in a circle
 */
export async function readPages<T>(list: PagedList<T>): Promise<readonly T[]> {
  const entries: T[] = [];
  const seen = new Set<string>();
  let leftBytes = list.totalLimitBytes;
  for (let query: string | undefined = list.query; query !== undefined;) {
    if (seen.has(query)) throw new UpstreamError('protocol', 'the pages of a list go in a circle');
    if (seen.size >= list.pageCountLimit) throw new UpstreamError('protocol', 'a list has too many pages');
    seen.add(query);
    const response = await list.fetch(list.endpoint + query);
    const bytes = await readBounded(response.body, Math.min(list.pageLimitBytes, leftBytes));
    leftBytes -= bytes.length;
    const page = list.parse(documentOf(bytes), response);
    if (entries.length + page.length > list.entryCountLimit) {
      throw new UpstreamError('protocol', `a list has more than ${list.entryCountLimit} entries`);
    }
    for (const entry of page) entries.push(entry);
    query = nextQuery(response, list);
  }
  return entries;
}

/** JSON, or `undefined` for anything else. */
function documentOf(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString('utf8'));
  } catch {
    return undefined;
  }
}

function nextQuery<T>(response: TransportResponse, { url, endpoint }: PagedList<T>): string | undefined {
  const link = parseNextLink(response.headers.all('link'));
  if (link === undefined) return undefined;
  const elsewhere = new UpstreamError('protocol', 'the next page of a list is said to be elsewhere');
  if (!URL.canParse(link, url.href)) throw elsewhere;
  const next = new URL(link, url.href);
  // Registries behind a proxy that ends TLS write http, and their inner path: neither is used.
  if (bareHostname(next.hostname) !== bareHostname(url.hostname) || !next.pathname.endsWith(endpoint))
    throw elsewhere;
  return next.search;
}
