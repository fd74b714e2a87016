import { createRequire } from 'node:module';

/**
 * What the public suffix list says of names. The list is large, and hardly any pull asks for it: it is loaded at the first
 * question, which takes some 50 ms once.
 */

const require = createRequire(import.meta.url);
let loaded: typeof import('tldts') | undefined;
const WITH_PRIVATE = { allowPrivateDomains: true };

/** `undefined` for IP addresses, `localhost`, public suffixes and other names that nobody registers. */
export function registrableDomain(hostname: string): string | undefined {
  return list().getDomain(hostname, WITH_PRIVATE) ?? undefined;
}

/** Whether a name lies below a suffix under which names are registered, by the list itself and not by its default rule. */
export function isBelowSuffix(hostname: string): boolean {
  const { domain, isIcann, isPrivate } = list().parse(hostname, WITH_PRIVATE);
  return domain !== null && (isIcann === true || isPrivate === true);
}

function list(): typeof import('tldts') {
  loaded ??= require('tldts') as typeof import('tldts');
  return loaded;
}
