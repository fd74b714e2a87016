/**
 * What a place is to us. `upstream`: the configured host and port; `trusted`: named in `trustedHosts`; `foreign`:
 * anything else, which may not be at a private address.
 */
export type HostStanding = 'upstream' | 'trusted' | 'foreign';

export interface Place {
  /** As in `URL.hostname`, or without the brackets of an IPv6 literal. */
  readonly hostname: string;
  readonly port: number;
}

/** The hosts that the operator named for one upstream. */
export class HostTrust {
  readonly upstream: URL;
  readonly #upstreamPlace: Place;
  readonly #trusted: ReadonlySet<string>;
  readonly #tokenHosts: ReadonlySet<string>;

  /** `tokenHosts`: may see the credentials as a token realm, and have no other right. */
  constructor(upstream: URL, trustedHosts: readonly string[], tokenHosts: readonly string[] = []) {
    this.upstream = upstream;
    this.#upstreamPlace = placeOf(upstream);
    this.#trusted = new Set(trustedHosts.map((host) => host.toLowerCase()));
    this.#tokenHosts = new Set(tokenHosts.map((host) => host.toLowerCase()));
  }

  /** A name without a port is meant at its scheme's own. */
  isTokenHost(url: URL): boolean {
    return this.#tokenHosts.has(url.host);
  }

  standing({ hostname, port }: Place): HostStanding {
    const name = bareHostname(hostname);
    if (this.isUpstreamHostname(name) && port === this.#upstreamPlace.port) return 'upstream';
    const literal = name.includes(':') ? `[${name}]` : name;
    const trusted =
      this.#trusted.has(name) || this.#trusted.has(literal) || this.#trusted.has(`${literal}:${port}`);
    return trusted ? 'trusted' : 'foreign';
  }

  /** The upstream's own host, whatever the port. */
  isUpstreamHostname(hostname: string): boolean {
    return bareHostname(hostname) === this.#upstreamPlace.hostname;
  }
}

export function placeOf(url: URL): Place {
  const port = url.port === '' ? (url.protocol === 'https:' ? 443 : 80) : Number(url.port);
  return { hostname: bareHostname(url.hostname), port };
}

/** Lower case, without the brackets of an IPv6 literal and the dot of a rooted name. */
export function bareHostname(hostname: string): string {
  const name = hostname.toLowerCase();
  if (name.startsWith('[')) return name.slice(1, -1);
  return name.endsWith('.') ? name.slice(0, -1) : name;
}
