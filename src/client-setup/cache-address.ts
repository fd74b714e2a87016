import { isLoopback } from '../config-listen.ts';

/** Where clients reach entrepot. */
export interface CacheAddress {
  /** `http(s)://host[:port]`. */
  readonly url: string;
  /** `host[:port]` as image references have it: clients take it for a registry, not for a namespace of Docker Hub. */
  readonly host: string;
  /** True: http, which most clients accept only where they are told to. */
  readonly isPlain: boolean;
  /** True: nobody but this machine reaches it, and Docker daemons accept http of it untold. */
  readonly isLoopback: boolean;
  /** PEM text of the authority that its certificate comes from; absent: clients know it already. */
  readonly ca?: string | undefined;
  /** What about it is likely to be wrong for clients elsewhere. */
  readonly warnings: readonly string[];
}

export interface CacheAddressSource {
  /** Outranks `listen`. */
  readonly publicUrl?: string | undefined;
  readonly listen: { readonly scheme: 'http' | 'https'; readonly host: string; readonly port: number };
  /** This machine's name: stands in for an address that means every interface. */
  readonly hostname: string;
  /** PEM text. */
  readonly ca?: string | undefined;
}

export function cacheAddress({ publicUrl, listen, hostname, ca }: CacheAddressSource): CacheAddress {
  const everywhere = listen.host === '0.0.0.0' || listen.host === '::';
  const own = everywhere ? hostname : listen.host.includes(':') ? `[${listen.host}]` : listen.host;
  const url = new URL(publicUrl ?? `${listen.scheme}://${own}:${listen.port}`);
  const isLocal = isLoopback(url.hostname.replace(/^\[(.*)\]$/, '$1'));
  const warnings: string[] = [];
  if (publicUrl === undefined && everywhere) {
    warnings.push(
      `publicUrl is not set: ${url.origin} is this machine's name and the port it listens on; set publicUrl to what clients reach it by.`,
    );
  }
  if (isLocal) {
    warnings.push(
      `${url.origin} is reached from this machine only: for clients on another machine (or in a container, virtual machine or cluster node) let it listen beyond loopback and set publicUrl.`,
    );
  }
  return {
    url: url.origin,
    host: referenceHost(url),
    isPlain: url.protocol === 'http:',
    isLoopback: isLocal,
    ...(ca !== undefined && { ca }),
    warnings,
  };
}

/** A name without a dot or a port would be taken for a namespace of Docker Hub; the port is said, then. */
export function referenceHost(url: URL): string {
  if (url.port !== '' || /[.:]/.test(url.hostname) || url.hostname === 'localhost') return url.host;
  return `${url.hostname}:${url.protocol === 'http:' ? 80 : 443}`;
}
