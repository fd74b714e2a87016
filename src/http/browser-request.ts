/** What tells a browser's request from a program's, and another site's page from our own. */

interface Headers {
  header(name: string): string | undefined;
}

/** Did another site's page send it? Programs send neither header. */
export function isForeign(request: Headers): boolean {
  const site = request.header('sec-fetch-site');
  if (site !== undefined) return site !== 'same-origin' && site !== 'none';
  const origin = request.header('origin');
  if (origin === undefined) return false;
  return !URL.canParse(origin) || new URL(origin).host !== request.header('host');
}

/**
 * A page's own name can be made to lead to a loopback address (DNS rebinding), and then it is the same site. An address
 * and `localhost` cannot.
 */
export function isOwnHost(host: string | undefined): boolean {
  return /^(?:localhost|\d{1,3}(?:\.\d{1,3}){3}|\[[0-9a-fA-F:.]+\])(?::\d{1,5})?$/.test(host ?? '');
}

/**
 * Could a browser have sent it? Every one says `Origin` or `Sec-Fetch-Site` with what changes something.
 * `Sec-Fetch-Mode` alone says nothing: Node's own `fetch` sends it, too.
 */
export function isBrowser(request: Headers): boolean {
  return ['cookie', 'origin', 'sec-fetch-site', 'sec-fetch-dest', 'sec-fetch-user'].some(
    (name) => request.header(name) !== undefined,
  );
}
