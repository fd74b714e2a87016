import type { Clock } from '../clock.ts';
import type { OfflineState } from '../upstream/offline-switch.ts';
import type { FailedRequest, Rehearsal, RehearsalReport } from './offline-report.ts';

/** A request that failed since its upstream was not asked. */
export type OfflineRequest = Pick<FailedRequest, 'upstream' | 'repository' | 'reference' | 'kind'>;

/** Different requests of one rehearsal that are remembered; 600 bytes each at most, and two rehearsals. */
const REQUEST_COUNT_LIMIT = 5_000;

type Writable<T> = { -readonly [Key in keyof T]: T[Key] };

class Running {
  readonly upstreams = new Set<string>();
  readonly isConfigured: boolean;
  readonly #begunAt: number;
  readonly #requests = new Map<string, Writable<FailedRequest>>();
  #failures = 0;
  #unlisted = 0;

  constructor(begunAt: number, isConfigured: boolean) {
    this.#begunAt = begunAt;
    this.isConfigured = isConfigured;
  }

  failed({ upstream, repository, reference, kind }: OfflineRequest, now: number): void {
    this.#failures += 1;
    const key = JSON.stringify([upstream, repository, reference, kind]);
    const known = this.#requests.get(key);
    if (known !== undefined) {
      known.count += 1;
      known.lastAt = now;
    } else if (this.#requests.size < REQUEST_COUNT_LIMIT) {
      const named = reference === undefined ? {} : { reference };
      this.#requests.set(key, {
        upstream,
        repository,
        ...named,
        kind,
        count: 1,
        firstAt: now,
        lastAt: now,
      });
    } else this.#unlisted += 1;
  }

  report(endedAt?: number): Rehearsal {
    return {
      begunAt: this.#begunAt,
      ...(endedAt !== undefined && { endedAt }),
      upstreams: [...this.upstreams],
      isConfigured: this.isConfigured,
      requests: structuredClone([...this.#requests.values()]),
      failures: this.#failures,
      unlisted: this.#unlisted,
    };
  }
}

/**
 * What failed while upstreams were not asked. A rehearsal lasts from the first upstream that a command takes offline
 * until none is offline but by configuration; what is offline by configuration alone is told of likewise. In memory only.
 */
export class Rehearsals {
  readonly #clock: Clock;
  #running: Running | undefined;
  #last: Rehearsal | undefined;

  /** @param states of all upstreams, to begin with */
  constructor(clock: Clock, states: readonly OfflineState[]) {
    this.#clock = clock;
    this.changed(states);
  }

  get report(): RehearsalReport {
    return {
      ...(this.#running && { running: this.#running.report() }),
      ...(this.#last && { last: this.#last }),
    };
  }

  /** @param states of all upstreams */
  changed(states: readonly OfflineState[]): void {
    const offline = states.filter(({ isOffline }) => isOffline);
    const isConfigured = offline.every((state) => state.isConfigured);
    const isOver = offline.length === 0 || this.#running?.isConfigured !== isConfigured;
    if (isOver && this.#running !== undefined) {
      this.#last = this.#running.report(this.#clock.now());
      this.#running = undefined;
    }
    if (offline.length === 0) return;
    this.#running ??= new Running(this.#clock.now(), isConfigured);
    for (const { upstream } of offline) this.#running.upstreams.add(upstream);
  }

  /** A request that ends after the rehearsal that it failed in counts for none. */
  failed(request: OfflineRequest): void {
    this.#running?.failed(request, this.#clock.now());
  }
}
