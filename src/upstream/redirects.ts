import { discard } from './bounded-body.ts';
import type { TransportResponse } from './exchange.ts';
import { UpstreamError } from './upstream-error.ts';

const HOP_LIMIT = 5;
const LOCATION_LENGTH_LIMIT = 8 * 1024;
const REDIRECT_STATUSES = new Set([301, 302, 303, 307, 308]);

export interface Redirects {
  /**
   * Sends one hop, with headers built from nothing. `atHome`: this hop and all before it went to the origin that the
   * first one named; only then may it carry credentials. Once a chain has left, it never gets them back, since
   * another host chose where it goes.
   */
  readonly send: (url: URL, atHome: boolean) => Promise<TransportResponse>;
  readonly onRefused: (host: string) => void;
}

/**
 * The first answer that is not a redirect. Redirects are never remembered: the URLs they name are signed for minutes.
 * @throws UpstreamError `refused` for a sixth redirect, a loop, https to http, a URL with a user name or another scheme;
 *   `protocol` for a redirect without a target. No message holds a path or query.
 */
export async function followRedirects(
  start: URL,
  { send, onRefused }: Redirects,
): Promise<TransportResponse> {
  const seen = new Set([start.href]);
  let atHome = true;
  for (let url = start; ;) {
    const response = await send(url, atHome);
    if (!REDIRECT_STATUSES.has(response.status)) return response;
    discard(response.body);
    const next = targetOf(response.headers.one('location'), url);
    const why = seen.size > HOP_LIMIT ? 'is one redirect too many' : whyNot(next, url, seen);
    if (why !== undefined) {
      onRefused(next.host);
      throw new UpstreamError('refused', `a redirect from ${url.host} to ${next.host} ${why}`, {
        status: response.status,
      });
    }
    seen.add(next.href);
    atHome &&= next.origin === start.origin;
    url = next;
  }
}

function targetOf(location: string | undefined, base: URL): URL {
  const usable = location !== undefined && location !== '' && location.length <= LOCATION_LENGTH_LIMIT;
  if (!usable || !URL.canParse(location, base.href)) {
    throw new UpstreamError('protocol', `a redirect from ${base.host} names no place`);
  }
  const url = new URL(location, base.href);
  url.hash = '';
  return url;
}

function whyNot(next: URL, from: URL, seen: ReadonlySet<string>): string | undefined {
  if (next.protocol !== 'https:' && next.protocol !== 'http:') return 'is neither https nor http';
  if (next.username !== '' || next.password !== '') return 'holds a user name';
  if (from.protocol === 'https:' && next.protocol === 'http:') return 'leaves https';
  return seen.has(next.href) ? 'goes in a circle' : undefined;
}
