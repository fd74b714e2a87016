import type { Clock } from '../clock.ts';
import type { UpstreamConfig } from '../config.ts';
import type { UpstreamObserver } from '../upstream/upstream-observer.ts';
import { ObservedUpstream, type UpstreamFigures } from './observed-upstream.ts';
import type { UpstreamOperations, UpstreamStanding } from './upstream-standing.ts';

type NamedUpstream = Pick<UpstreamConfig, 'name' | 'url' | 'mirrors'>;

/** How the upstreams of this process are, from what their clients tell. Kept in memory: it begins with each client. */
export class UpstreamStandings implements UpstreamOperations {
  readonly #clock: Pick<Clock, 'now'>;
  readonly #figuresOf: ((upstream: string) => UpstreamFigures) | undefined;
  #upstreams: readonly NamedUpstream[];
  readonly #observed = new Map<string, ObservedUpstream>();
  /** Of clients that may come to hold. */
  readonly #coming = new Map<string, ObservedUpstream>();
  /** Since when those that are offline are, wall time. */
  readonly #offline = new Map<string, number>();

  /**
   * @param upstreams in the order that they are told in
   * @param figuresOf who is told what is known of an upstream as soon as it is
   */
  constructor(
    clock: Pick<Clock, 'now'>,
    upstreams: readonly NamedUpstream[],
    figuresOf?: (upstream: string) => UpstreamFigures,
  ) {
    this.#clock = clock;
    this.#figuresOf = figuresOf;
    this.#upstreams = upstreams;
  }

  /** For a new client of an upstream. Where there is one already, that one is heard until `configured` says otherwise. */
  observer(upstream: string): UpstreamObserver {
    const observed = new ObservedUpstream(this.#clock, this.#figuresOf?.(upstream));
    if (this.#observed.has(upstream)) this.#coming.set(upstream, observed);
    else this.#observed.set(upstream, observed);
    return observed.observer;
  }

  /**
   * From now on these are configured: the others are forgotten.
   * @param renewed those whose newest client holds: what was known of the one before is forgotten, and what that tells
   * from now on is not heard
   */
  configured(upstreams: readonly NamedUpstream[], renewed: readonly string[]): void {
    this.#upstreams = upstreams;
    for (const name of renewed) {
      const coming = this.#coming.get(name);
      if (coming !== undefined) this.#observed.set(name, coming);
    }
    this.#coming.clear();
    const names = new Set(upstreams.map(({ name }) => name));
    for (const kept of [this.#observed, this.#offline])
      for (const name of kept.keys()) if (!names.has(name)) kept.delete(name);
  }

  /** Which of them are asked at all, of all or of those that changed. */
  offlineChanged(states: readonly { readonly upstream: string; readonly isOffline: boolean }[]): void {
    for (const { upstream, isOffline } of states) {
      if (!isOffline) this.#offline.delete(upstream);
      else if (!this.#offline.has(upstream)) this.#offline.set(upstream, this.#clock.now());
    }
  }

  async upstreams(signal: AbortSignal): Promise<readonly UpstreamStanding[]> {
    signal.throwIfAborted();
    return Promise.resolve(this.standings);
  }

  /** As they are now, in the configuration's order. */
  get standings(): readonly UpstreamStanding[] {
    return this.#upstreams.map(({ name, url, mirrors = [] }) => {
      const observed = this.#observed.get(name) ?? new ObservedUpstream(this.#clock);
      const standing = observed.standing(mirrors.map((mirror) => new URL(mirror.url).host));
      const since = this.#offline.get(name);
      const offline = since === undefined ? {} : { state: 'offline' as const, since };
      return { upstream: name, url, ...standing, ...offline };
    });
  }
}
