/** Longer answers are taken as this: nobody waits for a day. */
const LIMIT_MS = 24 * 60 * 60 * 1000;

/**
 * `Retry-After` (RFC 9110 §10.2.3), seconds or a date, as milliseconds from `nowMs` (wall time); a past date is 0.
 * `undefined` when absent or neither.
 */
export function parseRetryAfter(value: string | undefined, nowMs: number): number | undefined {
  const text = value?.trim();
  if (text === undefined || text === '' || text.length > 40) return undefined;
  if (/^\d+$/.test(text)) return Math.min(LIMIT_MS, Number(text) * 1000);
  // Date.parse alone takes far too much for a date ("880.092" among it).
  if (!/^[A-Za-z]{3,9},? .*\d{4}/.test(text)) return undefined;
  const date = Date.parse(text);
  return Number.isNaN(date) ? undefined : Math.min(LIMIT_MS, Math.max(0, date - nowMs));
}
