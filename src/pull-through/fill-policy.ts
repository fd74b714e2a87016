/** A request for no more than this of a blob is a probe: it is answered, and no download is begun for it. */
export const PROBE_LIMIT_BYTES = 4096;

export interface AbandonedFill {
  /** Absent while the upstream has not said. */
  readonly sizeBytes: number | undefined;
  readonly presentBytes: number;
  readonly finishFillBytes: number;
}

/**
 * Does a fill that nobody reads any more go on? Yes when little is missing (so every small blob does) or when at least
 * half is here: then stopping would waste more than it saves.
 */
export function shouldFinish({ sizeBytes, presentBytes, finishFillBytes }: AbandonedFill): boolean {
  if (sizeBytes === undefined) return false;
  return sizeBytes - presentBytes <= finishFillBytes || presentBytes * 2 >= sizeBytes;
}

/** Is a request for these many bytes of a cold blob a reason to download all of it? */
export function wantsWhole(wantedBytes: number, sizeBytes: number): boolean {
  return wantedBytes > PROBE_LIMIT_BYTES || sizeBytes <= PROBE_LIMIT_BYTES;
}

/** Transfers that break one after the other, each with less than this, are no progress. */
export const PROGRESS_BYTES = 256 * 1024;
/** A transfer that broke this often without progress is given up. */
export const BREAK_LIMIT = 6;
/** However much progress each made. */
export const RESUME_LIMIT = 100;
/** So long may a transfer that had begun be without progress, tries to go on included. */
export const STALL_LIMIT_MS = 90_000;
const FIRST_WAIT_MS = 100;
const LONGEST_WAIT_MS = 5000;

/** How long to wait before going on after the `breaks`-th break in a row (from 1). */
export function waitAfterBreak(breaks: number): number {
  return breaks <= 1 ? FIRST_WAIT_MS : Math.min(FIRST_WAIT_MS * 4 ** (breaks - 1), LONGEST_WAIT_MS);
}
