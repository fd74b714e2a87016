import type { ResponseHeaders } from './response-headers.ts';

/** What squid and tinyproxy call themselves in answers of their own; what they pass on keeps the origin's `Server`. */
const PROXY_PRODUCT = /^(?:squid|tinyproxy)\b/i;

/**
 * Whether an error that came by an HTTP proxy is the proxy's own, and not the word of the host behind it: 407, a field
 * that only proxies send (RFC 9110 §11.7.1, the `error` of RFC 9209 §2.1.1, squid's), or a proxy's name. `Via` tells
 * nothing: squid writes it on both, tinyproxy on what it passes on only. A proxy that hides all of that cannot be told
 * from the host.
 */
export function isProxysOwn(status: number, headers: ResponseHeaders): boolean {
  if (status < 400) return false;
  return (
    status === 407 ||
    headers.all('proxy-authenticate').length > 0 ||
    headers.all('x-squid-error').length > 0 ||
    headers.all('proxy-status').some((value) => /;\s*error=/i.test(value)) ||
    headers.all('server').some((value) => PROXY_PRODUCT.test(value))
  );
}
