import type { Clock } from '../clock.ts';
import { ContentError } from '../content/content-error.ts';
import { MetadataError } from '../metadata/metadata-error.ts';

/**
 * Why nothing can be stored:
 * - `disk-full`, `quota`: there is no room, for anybody or for us;
 * - `read-only`: nothing may be written;
 * - `exhausted`: no descriptors or memory are left;
 * - `io`: the disk fails in another way;
 * - `index`: the index does.
 */
export const TROUBLES = ['disk-full', 'quota', 'read-only', 'exhausted', 'io', 'index'] as const;
export type Trouble = (typeof TROUBLES)[number];

export type ConditionReport =
  { readonly isSound: true } | { readonly isSound: false; readonly reason: Trouble; readonly since: number };

/** Told once for each change. */
export type ConditionChange =
  | { readonly isSound: false; readonly reason: Trouble; readonly cause: unknown }
  | { readonly isSound: true; readonly reason: Trouble; readonly lastedMs: number };

/** That the store was tried out and is broken. */
export class StoreTroubleError extends Error {
  override readonly name = 'StoreTroubleError';
  readonly reason: Trouble;

  constructor(reason: Trouble, lastedMs: number, cause: unknown) {
    const what = cause instanceof Error ? cause.message : 'unknown';
    const seconds = Math.round(lastedMs / 1000);
    super(`nothing can be stored, pulls go on without it (${reason}, for ${seconds} s): ${what}`, { cause });
    this.reason = reason;
  }
}

export interface StoreConditionParts {
  readonly clock: Clock;
  /** Writes and reads what the store is made of. @throws what is broken */
  readonly probe: () => Promise<void>;
  readonly onChange: (change: ConditionChange) => void;
}

/** How often it is tried whether the trouble has ended; more rarely when it comes back again and again. */
const PROBE_INTERVAL_MS = 5000;
const PROBE_INTERVAL_LIMIT_MS = 60_000;
/** Trouble that begins again so soon has not really ended. */
const RELAPSE_MS = 30_000;

interface State {
  reason: Trouble;
  /** Wall time, for people. */
  readonly since: number;
  readonly begun: number;
  /** Aborted when it is over. */
  readonly over: AbortController;
}

/**
 * Whether the store can do its work. While it cannot, nothing is stored, so that pulls lose no time with it; one probe
 * at a time finds out when it can again.
 */
export class StoreCondition {
  readonly #parts: StoreConditionParts;
  readonly #ending = new AbortController();
  #trouble: State | undefined;
  #endedAt = -Infinity;
  #intervalMs = PROBE_INTERVAL_MS;
  #probing: Promise<void> | undefined;
  #waiting: Promise<void> | undefined;

  constructor(parts: StoreConditionParts) {
    this.#parts = parts;
  }

  get isSound(): boolean {
    return this.#trouble === undefined;
  }

  /** There is no room: what makes room helps. */
  get isFull(): boolean {
    return this.#trouble?.reason === 'disk-full' || this.#trouble?.reason === 'quota';
  }

  get report(): ConditionReport {
    if (this.#trouble === undefined) return { isSound: true };
    const { reason, since } = this.#trouble;
    return { isSound: false, reason, since };
  }

  /** Storing something failed. */
  failed(cause: unknown): void {
    if (this.#trouble === undefined && !this.#ending.signal.aborted) this.#begin(troubleOf(cause), cause);
  }

  /** Tries it out now, or waits for who does. @throws StoreTroubleError */
  async check(): Promise<void> {
    this.#probing ??= this.#probe().finally(() => (this.#probing = undefined));
    await this.#probing;
  }

  async close(): Promise<void> {
    this.#ending.abort();
    await this.#waiting;
    await this.#probing?.catch(() => undefined);
  }

  #begin(reason: Trouble, cause: unknown): void {
    const { clock, onChange } = this.#parts;
    const now = clock.monotonic();
    const isRelapse = now - this.#endedAt < RELAPSE_MS;
    this.#intervalMs = isRelapse
      ? Math.min(this.#intervalMs * 2, PROBE_INTERVAL_LIMIT_MS)
      : PROBE_INTERVAL_MS;
    const trouble = { reason, since: clock.now(), begun: now, over: new AbortController() };
    this.#trouble = trouble;
    onChange({ isSound: false, reason, cause });
    this.#waiting = this.#probeUntilSound(AbortSignal.any([trouble.over.signal, this.#ending.signal]));
  }

  async #probeUntilSound(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#parts.clock.sleep(this.#intervalMs, signal).catch(() => undefined);
      if (!signal.aborted) await this.check().catch(() => undefined);
    }
  }

  async #probe(): Promise<void> {
    const { probe, clock } = this.#parts;
    try {
      await probe();
    } catch (cause) {
      const reason = troubleOf(cause);
      if (this.#trouble === undefined) this.failed(cause);
      else if (this.#trouble.reason !== reason) this.#change(reason, cause);
      const lastedMs = clock.monotonic() - (this.#trouble?.begun ?? clock.monotonic());
      throw new StoreTroubleError(reason, lastedMs, cause);
    }
    this.#end();
  }

  #change(reason: Trouble, cause: unknown): void {
    if (this.#trouble === undefined) return;
    this.#trouble.reason = reason;
    this.#parts.onChange({ isSound: false, reason, cause });
  }

  #end(): void {
    if (this.#trouble === undefined) return;
    const { reason, begun, over } = this.#trouble;
    this.#trouble = undefined;
    over.abort();
    this.#endedAt = this.#parts.clock.monotonic();
    this.#parts.onChange({ isSound: true, reason, lastedMs: this.#endedAt - begun });
  }
}

const BY_CODE: Readonly<Record<string, Trouble>> = {
  ENOSPC: 'disk-full',
  EFBIG: 'disk-full',
  SQLITE_FULL: 'disk-full',
  EDQUOT: 'quota',
  EROFS: 'read-only',
  EACCES: 'read-only',
  EPERM: 'read-only',
  SQLITE_READONLY: 'read-only',
  SQLITE_PERM: 'read-only',
  EMFILE: 'exhausted',
  ENFILE: 'exhausted',
  ENOMEM: 'exhausted',
  ENOBUFS: 'exhausted',
  EAGAIN: 'exhausted',
  SQLITE_NOMEM: 'exhausted',
  EIO: 'io',
  SQLITE_IOERR: 'io',
};

/** What kind of trouble a failure is a sign of. */
export function troubleOf(failure: unknown): Trouble {
  for (let cause = failure; cause instanceof Error; cause = cause.cause) {
    const code: unknown = 'code' in cause ? cause.code : undefined;
    if (typeof code !== 'string') continue;
    // SQLite's own codes come with what exactly it was about: SQLITE_IOERR_WRITE.
    const known = BY_CODE[code] ?? BY_CODE[code.split('_', 2).join('_')];
    if (known !== undefined) return known;
  }
  if (failure instanceof MetadataError) return 'index';
  if (failure instanceof ContentError && failure.reason === 'no-space') return 'disk-full';
  return failure instanceof ContentError && failure.reason === 'exhausted' ? 'exhausted' : 'io';
}
