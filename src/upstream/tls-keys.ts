import { type HostTrust, placeOf } from './host-trust.ts';

/** Codes of certificates that no known authority vouches for: another authority would mend them. */
const UNKNOWN_AUTHORITY = /^(?:DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_|INVALID_CA)/;

/** The keys of the configuration to look at when TLS with a host fails. */
export interface TlsKeys {
  /** For certificates that no known authority vouches for. */
  readonly authority: string;
  /** For all else. */
  readonly other: string;
}

/** Those of the upstream's own host. @param keyPath the upstream's: `upstreams.quay.io` */
export function ownTlsKeys(keyPath: string): TlsKeys {
  return { authority: `${keyPath}.tls.ca`, other: `${keyPath}.tls` };
}

/** The authority of `tls` counts for the upstream's own host and for trusted ones only, as `createConnector` has it. */
export function tlsKeysFor(url: URL, trust: HostTrust, keyPath: string): TlsKeys {
  const place = placeOf(url);
  if (trust.standing(place) !== 'foreign' || trust.isUpstreamHostname(place.hostname))
    return ownTlsKeys(keyPath);
  return { authority: `${keyPath}.trustedHosts`, other: `${keyPath}.trustedHosts` };
}

/** What is added to a message about TLS. @param code OpenSSL's or Node's */
export function tlsHint(code: string, { authority, other }: TlsKeys): string {
  return `; see ${UNKNOWN_AUTHORITY.test(code) ? authority : other}`;
}
