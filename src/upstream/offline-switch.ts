import { setMaxListeners } from 'node:events';
import type { Clock } from '../clock.ts';
import { UpstreamError } from './upstream-error.ts';

/** The longest time that can be set: a timer's delay must stay below 2^31 ms. */
export const OFFLINE_LIMIT_MS = 7 * 24 * 3_600_000;

export interface OfflineState {
  readonly upstream: string;
  readonly isOffline: boolean;
  /** What the configuration says. */
  readonly isConfigured: boolean;
  /** Wall time, milliseconds since 1970, when the configuration holds again. Absent: it holds, or a command's word does until the process ends. */
  readonly until?: number | undefined;
}

/** One upstream's part of the switch. */
export interface OfflineGate {
  /** Why it may not be asked now; `undefined`: it may. */
  readonly refusal: UpstreamError | undefined;
  /** Aborts, with the refusal, when the upstream goes offline. Of no use while it is. */
  readonly going: AbortSignal;
}

export interface OfflineSwitchOptions {
  readonly clock: Clock;
  /** What the configuration says. */
  readonly upstreams: readonly { readonly name: string; readonly isOffline: boolean }[];
  /** Called with the upstreams that are asked no more, or again. Must not throw. */
  readonly onChange?: ((changed: readonly OfflineState[]) => void) | undefined;
}

export interface OfflineOrder {
  readonly isOffline: boolean;
  /** Absent: all. Names that are not configured are passed over. */
  readonly upstreams?: readonly string[] | undefined;
  /** For how long, `OFFLINE_LIMIT_MS` at most; then the configuration holds again. Absent: until the process ends. */
  readonly forMs?: number | undefined;
}

interface Position {
  readonly name: string;
  readonly isConfigured: boolean;
  isOffline: boolean;
  refusal: UpstreamError | undefined;
  going: AbortController;
  /** On the monotonic clock; Infinity: nothing ends. */
  endMs: number;
  until: number | undefined;
}

/**
 * Which upstreams may be asked at all: what the configuration says, or what an operator said since. Kept in memory only:
 * a restart goes back to the configuration. Ends are on the monotonic clock, and hold for whoever asks after them even
 * where the timer is late.
 */
export class OfflineSwitch {
  readonly #clock: Clock;
  readonly #onChange: NonNullable<OfflineSwitchOptions['onChange']>;
  readonly #positions: ReadonlyMap<string, Position>;
  #nextEndMs = Infinity;
  #timer = new AbortController();

  constructor({ clock, upstreams, onChange = () => undefined }: OfflineSwitchOptions) {
    this.#clock = clock;
    this.#onChange = onChange;
    this.#positions = new Map(
      upstreams.map(({ name, isOffline }) => [
        name,
        {
          name,
          isConfigured: isOffline,
          isOffline,
          refusal: isOffline ? refusalOf(name, undefined) : undefined,
          going: listenedByMany(),
          endMs: Infinity,
          until: undefined,
        },
      ]),
    );
  }

  /** Of every upstream, in the configuration's order. */
  get states(): readonly OfflineState[] {
    this.#endWhatIsDue();
    return [...this.#positions.values()].map(stateOf);
  }

  isOffline(upstream: string): boolean {
    this.#endWhatIsDue();
    return this.#positions.get(upstream)?.isOffline ?? false;
  }

  /** @throws when no such upstream is configured */
  gate(upstream: string): OfflineGate {
    const position = this.#positions.get(upstream);
    if (position === undefined) throw new Error(`there is no upstream ${upstream}`);
    const endWhatIsDue = () => this.#endWhatIsDue();
    return {
      get refusal() {
        endWhatIsDue();
        return position.refusal;
      },
      get going() {
        return position.going.signal;
      },
    };
  }

  /** Holds at once. What the configuration says anyway has no end. */
  set({ isOffline, upstreams, forMs }: OfflineOrder): void {
    const ms = forMs === undefined ? undefined : Math.min(Math.max(0, forMs), OFFLINE_LIMIT_MS);
    const meant = [...this.#positions.values()].filter(({ name }) => upstreams?.includes(name) !== false);
    this.#place(
      meant.map((position) => {
        const isTimed = ms !== undefined && isOffline !== position.isConfigured;
        position.endMs = isTimed ? this.#clock.monotonic() + ms : Infinity;
        position.until = isTimed ? this.#clock.now() + ms : undefined;
        return { position, isOffline };
      }),
    );
    this.#wakeAtNextEnd();
  }

  /** No end is waited for any more. */
  close(): void {
    this.#timer.abort();
  }

  #endWhatIsDue(): void {
    if (this.#nextEndMs === Infinity) return;
    const now = this.#clock.monotonic();
    if (now < this.#nextEndMs) return;
    const due = [...this.#positions.values()].filter(({ endMs }) => endMs <= now);
    for (const position of due) {
      position.endMs = Infinity;
      position.until = undefined;
    }
    this.#wakeAtNextEnd();
    this.#place(due.map((position) => ({ position, isOffline: position.isConfigured })));
  }

  #place(orders: readonly { readonly position: Position; readonly isOffline: boolean }[]): void {
    const changed: Position[] = [];
    for (const { position, isOffline } of orders) {
      position.refusal = isOffline ? refusalOf(position.name, position.until) : undefined;
      if (position.isOffline === isOffline) continue;
      position.isOffline = isOffline;
      changed.push(position);
    }
    if (changed.length === 0) return;
    // First: what breaks off now belongs to what begins now.
    this.#onChange(changed.map(stateOf));
    for (const position of changed) {
      if (position.isOffline) position.going.abort(position.refusal);
      else position.going = listenedByMany();
    }
  }

  #wakeAtNextEnd(): void {
    this.#timer.abort();
    this.#timer = new AbortController();
    this.#nextEndMs = Math.min(...[...this.#positions.values()].map(({ endMs }) => endMs));
    if (this.#nextEndMs === Infinity) return;
    const restMs = Math.max(0, this.#nextEndMs - this.#clock.monotonic());
    // Aborted: another end is waited for, or none.
    this.#clock.sleep(restMs, this.#timer.signal).then(
      () => this.#wakeIfEarly(),
      () => undefined,
    );
  }

  /** Timers may fire a little early. */
  #wakeIfEarly(): void {
    this.#endWhatIsDue();
    if (this.#nextEndMs !== Infinity && !this.#timer.signal.aborted) this.#wakeAtNextEnd();
  }
}

/** Every request on its way to the upstream listens; they are bounded by the limiter. */
function listenedByMany(): AbortController {
  const controller = new AbortController();
  setMaxListeners(0, controller.signal);
  return controller;
}

function refusalOf(name: string, until: number | undefined): UpstreamError {
  const end = until === undefined ? '' : ` until ${new Date(until).toISOString()}`;
  return new UpstreamError(
    'offline',
    `not in the cache, and ${name} is not asked: entrepot is offline${end}`,
  );
}

function stateOf({ name, isOffline, isConfigured, until }: Position): OfflineState {
  return { upstream: name, isOffline, isConfigured, ...(until !== undefined && { until }) };
}
