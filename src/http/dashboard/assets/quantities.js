// @ts-check
// Quantities as the server prints them.

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];

/** @param {number} bytes */
export function printBytes(bytes) {
  let at = 0;
  let value = bytes;
  for (; value >= 1024 && at < UNITS.length - 1; at += 1) value /= 1024;
  return `${at === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)}\u00a0${UNITS[at]}`;
}

/** @param {number} ms */
export function printSpan(ms) {
  const seconds = Math.max(0, ms) / 1000;
  if (seconds < 60) return `${Math.floor(seconds)}\u00a0s`;
  return seconds < 3600 ? `${Math.floor(seconds / 60)}\u00a0min` : `${Math.floor(seconds / 3600)}\u00a0h`;
}
