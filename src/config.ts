/** Where a listener binds. Port 0 = any free one. */
export interface ListenAddress {
  readonly host: string;
  readonly port: number;
}

export interface BasicAuth {
  readonly username: string;
  readonly password: string;
}

export interface UpstreamTls {
  /** PEM text, in place of the system's authorities. */
  readonly ca?: string | undefined;
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
  /** True: certificates are not checked. */
  readonly insecure: boolean;
}

export interface UpstreamConfig {
  readonly name: string;
  /** `http(s)://host[:port][/path]`, without a slash at the end. */
  readonly url: string;
  readonly default: boolean;
  readonly prefixes: readonly string[];
  readonly hosts: readonly string[];
  /** `host` or `host:port`, lower case. */
  readonly trustedHosts: readonly string[];
  readonly auth?: BasicAuth | undefined;
  readonly tls?: UpstreamTls | undefined;
  readonly tagTtlMs: number;
  readonly maxStaleMs: number;
}

export interface CacheConfig {
  /** Bytes, or a share (0 < share <= 1) of the file system that holds `dataDir`. */
  readonly maxSize: { readonly bytes: number } | { readonly share: number };
  /** A fill that nobody reads any more goes on when no more than this is missing. */
  readonly finishFillBytes: number;
  /** How long a fill goes on without a reader before it is judged. */
  readonly fillLingerMs: number;
}

export interface Config {
  readonly listen: ListenAddress;
  readonly publicUrl?: string | undefined;
  readonly admin: { readonly listen: ListenAddress; readonly token?: string | undefined };
  readonly dataDir: string;
  readonly cache: CacheConfig;
  readonly offline: boolean;
  /** How long pulls in flight may go on after SIGTERM. */
  readonly shutdownGraceMs: number;
  readonly log: { readonly level: 'debug' | 'info' | 'warn' | 'error' };
  readonly upstreams: readonly UpstreamConfig[];
}
