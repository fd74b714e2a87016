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

  /**
   * For a new client of an upstream. From its first request on it is what is told of; what was known of the one before is
   * forgotten then. A client that is never asked, since its configuration was not taken, changes nothing.
   */
  observer(upstream: string): UpstreamObserver {
    const observed = new ObservedUpstream(this.#clock, this.#figuresOf?.(upstream));
    const { observer } = observed;
    let isNew = this.#observed.has(upstream);
    if (!isNew) this.#observed.set(upstream, observed);
    return {
      ...observer,
      requestStarted: (event) => {
        if (isNew) this.#observed.set(upstream, observed);
        isNew = false;
        observer.requestStarted(event);
      },
    };
  }

  /** From now on these are configured: the others are forgotten. */
  configured(upstreams: readonly NamedUpstream[]): void {
    this.#upstreams = upstreams;
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
