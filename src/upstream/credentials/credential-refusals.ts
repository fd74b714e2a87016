import { createHash } from 'node:crypto';
import { recentEntries } from '../../recent-entries.ts';
import { abortable } from '../../abortable.ts';
import type { Clock } from '../../clock.ts';
import { deferred } from '../../deferred.ts';
import { UpstreamError } from '../upstream-error.ts';
import type { Credential } from './credential-source.ts';

/** How long refused credentials are not sent again (Docker Hub locks an account after some failures), and after how many refusals in a row. */
export const REFUSAL_MEMORY_MS = 60_000;
const REFUSALS_IN_A_ROW = 3;
/** Credentials, and repositories with them. */
const COUNT_LIMIT = 10_000;

interface Standing {
  readonly inARow: number;
  readonly lockedUntilMs: number;
  /** -Infinity: never, or not since it was locked out. */
  readonly acceptedAtMs: number;
}

const NOTHING: Standing = { inARow: 0, lockedUntilMs: -Infinity, acceptedAtMs: -Infinity };

/**
 * Which credentials were refused, each by itself: new ones are not held back for what the old ones did. Three refusals
 * in a row lock it out for a minute. While it is known from another repository to be good (some registries say 401 of
 * what does not exist), they lock out the repository alone.
 */
export class CredentialRefusals {
  readonly #clock: Clock;
  /** By fingerprint, and by fingerprint and repository. */
  readonly #standings = recentEntries<string, Standing>(COUNT_LIMIT);
  /** Sign-ins on their way with what was never accepted, by fingerprint. */
  readonly #trials = new Map<string, Promise<void>>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /**
   * @param repository absent where refusals are never about one
   * @throws UpstreamError `denied` while it is locked out
   */
  rejectLocked(credential: Credential, repository?: string): void {
    const now = this.#clock.monotonic();
    const [key, own = key] = keysOf(credential, repository);
    if (Math.max(this.#standing(key).lockedUntilMs, this.#standing(own).lockedUntilMs) <= now) return;
    throw new UpstreamError(
      'denied',
      'the credentials were refused a moment ago and are not tried again yet',
    );
  }

  /**
   * Runs a sign-in; one at a time while it is not known that the credential is good, so that a hundred clients at once
   * do not have a bad one refused a hundred times.
   * @param attempt must tell `accepted` or `refused` before it settles
   * @throws UpstreamError `denied` when it is locked out; the signal's reason; what `attempt` fails with
   */
  async try<T>(
    { credential, repository }: { readonly credential: Credential; readonly repository?: string },
    attempt: () => Promise<T>,
    signal: AbortSignal,
  ): Promise<T> {
    const key = fingerprint(credential);
    for (;;) {
      this.rejectLocked(credential, repository);
      if (this.wasAccepted(credential)) return attempt();
      const running = this.#trials.get(key);
      if (running === undefined) break;
      await abortable(running, signal);
    }
    const trial = deferred<void>();
    this.#trials.set(key, trial.promise);
    try {
      return await attempt();
    } finally {
      this.#trials.delete(key);
      trial.resolve();
    }
  }

  /** True when that says something of the credentials, false when only of the repository. */
  refused(credential: Credential, repository?: string): boolean {
    const [key, own = key] = keysOf(credential, repository);
    const isGoodElsewhere = this.isGoodElsewhere(credential, repository);
    this.#count(isGoodElsewhere ? own : key);
    return !isGoodElsewhere;
  }

  /** Whether it was accepted within the last minute, but not for this repository. */
  isGoodElsewhere(credential: Credential, repository?: string): boolean {
    const [key, own = key] = keysOf(credential, repository);
    return this.#wasAcceptedLately(key) && !this.#wasAcceptedLately(own);
  }

  accepted(credential: Credential, repository?: string): void {
    const standing = { ...NOTHING, acceptedAtMs: this.#clock.monotonic() };
    const [key, own = key] = keysOf(credential, repository);
    this.#standings.set(key, standing);
    this.#standings.set(own, standing);
  }

  /** Ever since it was locked out last. */
  wasAccepted(credential: Credential): boolean {
    return this.#standing(fingerprint(credential)).acceptedAtMs !== -Infinity;
  }

  #count(key: string): void {
    const { inARow, acceptedAtMs } = this.#standing(key);
    const isLocked = inARow + 1 >= REFUSALS_IN_A_ROW;
    const lockedUntilMs = this.#clock.monotonic() + REFUSAL_MEMORY_MS;
    this.#standings.set(
      key,
      isLocked ? { ...NOTHING, lockedUntilMs } : { ...NOTHING, inARow: inARow + 1, acceptedAtMs },
    );
  }

  #wasAcceptedLately(key: string): boolean {
    return this.#clock.monotonic() - this.#standing(key).acceptedAtMs < REFUSAL_MEMORY_MS;
  }

  #standing(key: string): Standing {
    return this.#standings.get(key) ?? NOTHING;
  }
}

function keysOf(credential: Credential, repository: string | undefined): readonly [string, string?] {
  const key = fingerprint(credential);
  return repository === undefined ? [key] : [key, `${key} ${repository}`];
}

/** Tells credentials apart without keeping them. */
export function fingerprint(credential: Credential): string {
  const { kind } = credential;
  const parts =
    kind === 'basic' ? [kind, credential.username, credential.password] : [kind, credential.token];
  return createHash('sha256').update(JSON.stringify(parts)).digest('base64');
}
