import { createHash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import type { Clock } from '../../clock.ts';
import { UpstreamError } from '../upstream-error.ts';
import type { Credential } from './credential-source.ts';

/** How long refused credentials are not sent again (Docker Hub locks an account after some failures), and after how many refusals in a row. */
export const REFUSAL_MEMORY_MS = 60_000;
const REFUSALS_IN_A_ROW = 3;
const CREDENTIAL_COUNT_LIMIT = 1_000;

interface Refusals {
  readonly inARow: number;
  readonly lockedUntilMs: number;
}

/** Which credentials were refused, each by itself: new ones are not held back for what the old ones did. */
export class CredentialRefusals {
  readonly #clock: Clock;
  readonly #refusals = new LRUCache<string, Refusals>({ max: CREDENTIAL_COUNT_LIMIT });

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** @throws UpstreamError `denied` while it is locked out */
  rejectLocked(credential: Credential): void {
    const refusals = this.#refusals.get(fingerprint(credential));
    if (refusals === undefined || this.#clock.monotonic() >= refusals.lockedUntilMs) return;
    throw new UpstreamError(
      'denied',
      'the credentials were refused a moment ago and are not tried again yet',
    );
  }

  refused(credential: Credential): void {
    const key = fingerprint(credential);
    const inARow = (this.#refusals.get(key)?.inARow ?? 0) + 1;
    const isLocked = inARow >= REFUSALS_IN_A_ROW;
    const lockedUntilMs = isLocked ? this.#clock.monotonic() + REFUSAL_MEMORY_MS : -Infinity;
    this.#refusals.set(key, { inARow: isLocked ? 0 : inARow, lockedUntilMs });
  }

  accepted(credential: Credential): void {
    if (this.#refusals.size > 0) this.#refusals.delete(fingerprint(credential));
  }
}

/** Tells credentials apart without keeping them. */
export function fingerprint(credential: Credential): string {
  const { kind } = credential;
  const parts =
    kind === 'basic' ? [kind, credential.username, credential.password] : [kind, credential.token];
  return createHash('sha256').update(JSON.stringify(parts)).digest('base64');
}
