import type { LookupFunction } from 'node:net';
import type { Clock } from '../clock.ts';
import type { RegistryProfile, UpstreamConfig } from '../config.ts';
import { GENERIC } from '../config-profiles.ts';
import { type BreakerPhase, Health } from './health.ts';
import { HostTrust } from './host-trust.ts';
import { JoinedSignal } from './joined-signal.ts';
import { Limiter } from './limiter.ts';
import type { OfflineGate } from './offline-switch.ts';
import { RetryBudget } from './retry.ts';
import { Transport } from './transport.ts';
import type { UpstreamError } from './upstream-error.ts';

export interface RegistryHostOptions {
  readonly config: Pick<UpstreamConfig, 'url' | 'trustedHosts' | 'tls' | 'proxy' | 'limits' | 'profile'>;
  /** Where it is configured, for messages: `upstreams.quay.io`, or `upstreams.quay.io.mirrors.0`. */
  readonly keyPath: string;
  readonly clock: Clock;
  /** Told why the host is taken for down, and when it answers again (`undefined`). */
  readonly onAvailability: (cause: UpstreamError | undefined) => void;
  /** Told each change of its circuit breaker. */
  readonly onBreaker?: ((phase: BreakerPhase) => void) | undefined;
  /** Told how long a request waits for the configured pace. */
  readonly onPaced?: ((ms: number) => void) | undefined;
  /** As in TransportOptions. */
  readonly onTlsProblem?: ((problem: string) => void) | undefined;
  /** What it is called beside its upstream when it is a mirror of one. */
  readonly mirror?: string | undefined;
  /** entrepot's, for `User-Agent`. Absent: no version is told. */
  readonly version?: string | undefined;
  /** In place of `dns.lookup`, for tests of name resolution. */
  readonly lookup?: LookupFunction | undefined;
  /** Whether anything may be sent at all. Absent: always. */
  readonly gate?: OfflineGate | undefined;
}

/**
 * What all requests to one registry have in common, whoever's credentials they carry: connections, limits, and what is
 * known of its health. Opens no connection of itself.
 */
export class RegistryHost {
  /** Of `url`: what is asked is below it. */
  readonly base: URL;
  readonly clock: Clock;
  readonly mirror: string | undefined;
  readonly profile: RegistryProfile;
  readonly trust: HostTrust;
  readonly transport: Transport;
  readonly limiter: Limiter;
  readonly retries: RetryBudget;
  readonly health: Health;
  readonly #gate: OfflineGate | undefined;

  /** @throws when the TLS settings hold what is not PEM */
  constructor(options: RegistryHostOptions) {
    const { config, keyPath, clock, onAvailability, onTlsProblem, mirror, version, lookup } = options;
    this.base = new URL(config.url);
    this.clock = clock;
    this.mirror = mirror;
    this.profile = config.profile ?? GENERIC;
    this.trust = new HostTrust(this.base, config.trustedHosts, this.profile.tokenHosts);
    this.transport = new Transport({
      trust: this.trust,
      tls: config.tls,
      proxy: config.proxy,
      keyPath,
      onTlsProblem,
      clock,
      version,
      lookup,
    });
    this.limiter = new Limiter(clock, config.limits, options.onPaced);
    this.retries = new RetryBudget(clock);
    this.health = new Health(clock, onAvailability, options.onBreaker);
    this.#gate = options.gate;
  }

  /** Aborts too when the host is asked no more. */
  whileOnline(signal: AbortSignal): JoinedSignal {
    return this.#gate === undefined ? new JoinedSignal(signal) : new JoinedSignal(signal, this.#gate.going);
  }

  /** @throws UpstreamError `offline` when nothing may be sent */
  assertOnline(): void {
    const refusal = this.#gate?.refusal;
    if (refusal !== undefined) throw refusal;
  }

  /** @param path begins with a slash */
  url(path: string): URL {
    return new URL(this.base.origin + this.base.pathname.replace(/\/$/, '') + path);
  }

  /** Cuts every connection; requests in flight fail. */
  async close(): Promise<void> {
    await this.transport.close();
  }
}
