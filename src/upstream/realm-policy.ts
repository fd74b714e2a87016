import { bareHostname, type HostTrust, placeOf } from './host-trust.ts';
import { registrableDomain } from './registrable-names.ts';

/** Whether a token may be asked for at a realm, and with what. */
export type RealmDecision =
  | { readonly verdict: 'credentials' | 'anonymous'; readonly url: URL }
  | { readonly verdict: 'refused'; readonly host: string; readonly why: string };

/**
 * Decides about the realm of a Bearer challenge, which whoever answers for the upstream can choose at will
 * (CVE-2026-33540). Credentials go to the upstream's own host, its registrable domain, its profile's token hosts, and trusted hosts; over https,
 * unless the upstream itself is plain http. Without credentials any https host may give an anonymous token; that its
 * address is public is checked when the socket connects.
 */
export function judgeRealm(realm: string, trust: HostTrust, hasCredentials: boolean): RealmDecision {
  if (!URL.canParse(realm)) return { verdict: 'refused', host: '', why: 'is not a URL' };
  const url = new URL(realm);
  const refused = (why: string): RealmDecision => ({ verdict: 'refused', host: url.host, why });
  if (url.protocol !== 'https:' && url.protocol !== 'http:') return refused('is neither https nor http');
  if (url.username !== '' || url.password !== '') return refused('holds a user name');
  if (url.protocol === 'http:' && trust.upstream.protocol !== 'http:') return refused('is not https');
  url.hash = '';
  const trusted = isTrustedHost(url, trust);
  if (hasCredentials) {
    return trusted
      ? { verdict: 'credentials', url }
      : refused('is a foreign host; trustedHosts can allow it');
  }
  if (!trusted && url.protocol === 'http:') return refused('is a foreign host and not https');
  return { verdict: 'anonymous', url };
}

function isTrustedHost(url: URL, trust: HostTrust): boolean {
  const place = placeOf(url);
  if (trust.standing(place) !== 'foreign' || trust.isUpstreamHostname(place.hostname)) return true;
  if (trust.isTokenHost(url)) return true;
  const own = registrableDomain(bareHostname(trust.upstream.hostname));
  return own !== undefined && registrableDomain(bareHostname(place.hostname)) === own;
}
