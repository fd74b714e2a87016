import type { Clock } from '../clock.ts';

/** Something that must work for this process to do its own part. */
export interface HealthCheck {
  readonly name: string;
  /** Looks, now. @returns what there is to say, if anything @throws what is broken, in words that are safe to show */
  readonly look: () => Promise<string | undefined> | string | undefined;
}

/** What others do to us: shown, and never a reason not to be ready. */
export interface HealthDetail {
  readonly name: string;
  readonly isWell: boolean;
  readonly message?: string | undefined;
}

export interface CheckResult {
  readonly name: string;
  readonly isWell: boolean;
  /** False: it is detail, and does not decide. */
  readonly decides: boolean;
  /** How long it took, milliseconds. */
  readonly ms: number;
  readonly message?: string | undefined;
}

export interface HealthReport {
  readonly status: 'ready' | 'not ready' | 'shutting down';
  readonly version: string;
  readonly uptimeSeconds: number;
  readonly checks: readonly CheckResult[];
}

export interface HealthParts {
  readonly clock: Clock;
  readonly version: string;
  readonly checks: readonly HealthCheck[];
  readonly details: () => readonly HealthDetail[];
  readonly isClosing: () => boolean;
}

/** An answer is there by then, whatever hangs: those who ask give up soon after. */
const LIMIT_MS = 2_000;

interface RunningCheck {
  readonly result: Promise<CheckResult>;
  readonly begunAtMs: number;
}

/**
 * Whether requests should be sent here. Each check runs once at a time, however many ask: who comes while one is on its
 * way waits for that, and one that hangs is told of as soon as it has taken 2 s.
 */
export class Health {
  readonly #parts: HealthParts;
  readonly #begunAtMs: number;
  readonly #running = new Map<string, RunningCheck>();

  constructor(parts: HealthParts) {
    this.#parts = parts;
    this.#begunAtMs = parts.clock.monotonic();
  }

  get version(): string {
    return this.#parts.version;
  }

  get uptimeSeconds(): number {
    return Math.round((this.#parts.clock.monotonic() - this.#begunAtMs) / 1000);
  }

  async report(): Promise<HealthReport> {
    const { checks, details, version, isClosing } = this.#parts;
    const results = await Promise.all(checks.map((check) => this.#inTime(check)));
    const isWell = results.every((result) => result.isWell);
    return {
      status: isClosing() ? 'shutting down' : isWell ? 'ready' : 'not ready',
      version,
      uptimeSeconds: this.uptimeSeconds,
      checks: [
        ...results,
        ...details().map(({ name, isWell: isUp, message }) => ({
          name,
          isWell: isUp,
          decides: false,
          ms: 0,
          message,
        })),
      ],
    };
  }

  async #inTime(check: HealthCheck): Promise<CheckResult> {
    const { clock } = this.#parts;
    const { name } = check;
    const { result, begunAtMs } = this.#running.get(name) ?? this.#begin(check);
    const restMs = LIMIT_MS - (clock.monotonic() - begunAtMs);
    const over = new AbortController();
    try {
      // Not at once, though it is late: it may have its result in this very turn.
      const late = clock.sleep(Math.max(0, restMs), over.signal);
      return await Promise.race([
        result,
        late.then(() => ({
          name,
          isWell: false,
          decides: true,
          ms: clock.monotonic() - begunAtMs,
          message: `no answer within ${LIMIT_MS / 1000} s`,
        })),
      ]);
    } finally {
      over.abort();
    }
  }

  #begin({ name, look }: HealthCheck): RunningCheck {
    const { clock } = this.#parts;
    const begunAtMs = clock.monotonic();
    const told = (isWell: boolean, message: string | undefined): CheckResult => ({
      name,
      isWell,
      decides: true,
      ms: clock.monotonic() - begunAtMs,
      ...(message !== undefined && { message }),
    });
    const result = (async () => {
      try {
        return told(true, await look());
      } catch (error) {
        return told(false, error instanceof Error ? error.message : 'unknown');
      } finally {
        this.#running.delete(name);
      }
    })();
    const running = { result, begunAtMs };
    this.#running.set(name, running);
    return running;
  }
}
