import type { ReconcileProgress } from './reconcile-progress.ts';

/** What upkeep in the background tells whoever counts and logs. Calls must not throw. */
export interface UpkeepObserver {
  /** The index was found damaged while it was used: it was moved to `setAside`, and begins empty. */
  indexLost(setAside: string): void;
  /** Files and rows may differ: they are brought together from now on. */
  reconcileBegan(): void;
  reconcileEnded(progress: ReconcileProgress): void;
  /** It is tried again later. */
  reconcileFailed(cause: unknown): void;
  /** So many bytes at rest were read and compared with their digests, by the scrub or the `verify` command. */
  verified(bytes: number): void;
  scrubBegan(): void;
  scrubEnded(found: { readonly files: number; readonly bytes: number; readonly damaged: number }): void;
  /** It goes on later where it was. */
  scrubFailed(cause: unknown): void;
}

export const silentUpkeep: UpkeepObserver = {
  indexLost: () => undefined,
  reconcileBegan: () => undefined,
  reconcileEnded: () => undefined,
  reconcileFailed: () => undefined,
  verified: () => undefined,
  scrubBegan: () => undefined,
  scrubEnded: () => undefined,
  scrubFailed: () => undefined,
};
