import type { LookupFunction } from 'node:net';
import type { Clock } from '../clock.ts';
import type { UpstreamConfig } from '../config.ts';
import { AccountUpstreams } from './account-upstreams.ts';
import { RegistryHost } from './registry-host.ts';
import { RegistryUpstream } from './registry-upstream.ts';
import type { Upstream } from './upstream.ts';
import { silentObserver, type UpstreamObserver } from './upstream-observer.ts';

export interface OpenUpstreamOptions {
  readonly clock: Clock;
  /** Default: nobody looks. */
  readonly observer?: UpstreamObserver | undefined;
  /** entrepot's, for `User-Agent`. Absent: no version is told. */
  readonly version?: string | undefined;
  /** In place of `dns.lookup`, for tests of name resolution. */
  readonly lookup?: LookupFunction | undefined;
}

/**
 * The client of a configured upstream; closing it closes all that belongs to it. Opens no connection before the first
 * call.
 * @throws when the TLS settings hold what is not PEM
 */
export function openUpstream(config: UpstreamConfig, options: OpenUpstreamOptions): Upstream {
  const { clock, observer = silentObserver, version, lookup } = options;
  const onAvailability = (up: boolean): void => observer.availabilityChanged(up);
  const host = new RegistryHost({ config, clock, onAvailability, version, lookup });
  const account = new RegistryUpstream({ name: config.name, host, auth: config.auth, observer });
  return new AccountUpstreams({ name: config.name, host, accounts: [account], accountOf: () => account });
}
