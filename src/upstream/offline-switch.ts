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
  isConfigured: boolean;
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
  #positions: ReadonlyMap<string, Position>;
  /** Of upstreams that are configured no more, while something of them is still under way. */
  readonly #leaving = new Map<string, Position>();
  /** All upstreams were taken offline: who comes to be configured meanwhile is meant, too. */
  #dark: Pick<Position, 'endMs' | 'until'> | undefined;
  #nextEndMs = Infinity;
  #timer = new AbortController();

  constructor({ clock, upstreams, onChange = () => undefined }: OfflineSwitchOptions) {
    this.#clock = clock;
    this.#onChange = onChange;
    this.#positions = new Map(
      upstreams.map(({ name, isOffline }) => [name, configuredPosition(name, isOffline)] as const),
    );
  }

  /**
   * The configuration is another one. What an operator said of an upstream goes on to hold; while all were taken
   * offline, those that are new are, too. Those that are gone can still be taken offline, until they are forgotten.
   */
  configure(upstreams: OfflineSwitchOptions['upstreams']): void {
    this.#endWhatIsDue();
    if (this.#dark !== undefined && this.#dark.endMs <= this.#clock.monotonic()) this.#dark = undefined;
    const before = this.#positions;
    const orders: { position: Position; isOffline: boolean }[] = [];
    const isCommanded = ({ isOffline, isConfigured }: Position): boolean => isOffline !== isConfigured;
    this.#positions = new Map(
      upstreams.map(({ name, isOffline: isConfigured }) => {
        const known = before.get(name) ?? this.#leaving.get(name);
        this.#leaving.delete(name);
        const position = known ?? configuredPosition(name, isConfigured);
        const isSaid = known !== undefined && isCommanded(known);
        position.isConfigured = isConfigured;
        if (known === undefined && this.#dark !== undefined && !isConfigured) {
          Object.assign(position, this.#dark);
          orders.push({ position, isOffline: true });
        } else if (!isSaid) orders.push({ position, isOffline: isConfigured });
        // What the configuration says anyway has no end.
        else if (!isCommanded(position)) Object.assign(position, { endMs: Infinity, until: undefined });
        return [name, position] as const;
      }),
    );
    for (const [name, position] of before) if (!this.#positions.has(name)) this.#leaving.set(name, position);
    this.#place(orders);
    this.#wakeAtNextEnd();
  }

  /** Nothing of an upstream that is configured no more is under way. */
  forget(upstream: string): void {
    this.#leaving.delete(upstream);
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
    if (!this.#positions.has(upstream)) throw new Error(`there is no upstream ${upstream}`);
    return this.gateToBe(upstream);
  }

  /** As `gate`, of an upstream that is about to be configured: open until it is. */
  gateToBe(upstream: string): OfflineGate {
    const endWhatIsDue = () => this.#endWhatIsDue();
    const position = () => this.#positions.get(upstream) ?? this.#leaving.get(upstream);
    return {
      get refusal() {
        endWhatIsDue();
        return position()?.refusal;
      },
      get going() {
        return position()?.going.signal ?? NEVER;
      },
    };
  }

  /** Holds at once. What the configuration says anyway has no end. */
  set({ isOffline, upstreams, forMs }: OfflineOrder): void {
    const ms = forMs === undefined ? undefined : Math.min(Math.max(0, forMs), OFFLINE_LIMIT_MS);
    const all = [...this.#positions.values(), ...this.#leaving.values()];
    const meant = all.filter(({ name }) => upstreams?.includes(name) !== false);
    if (upstreams === undefined)
      this.#dark = isOffline
        ? {
            endMs: ms === undefined ? Infinity : this.#clock.monotonic() + ms,
            until: ms === undefined ? undefined : this.#clock.now() + ms,
          }
        : undefined;
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
    const told = changed.filter(({ name }) => this.#positions.has(name));
    if (told.length > 0) this.#onChange(told.map(stateOf));
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

const NEVER = listenedByMany().signal;

function configuredPosition(name: string, isOffline: boolean): Position {
  return {
    name,
    isConfigured: isOffline,
    isOffline,
    refusal: isOffline ? refusalOf(name, undefined) : undefined,
    going: listenedByMany(),
    endMs: Infinity,
    until: undefined,
  };
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
