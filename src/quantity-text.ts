const UNITS = [
  ['TiB', 2 ** 40],
  ['GiB', 2 ** 30],
  ['MiB', 2 ** 20],
  ['KiB', 2 ** 10],
] as const;
const SECOND_MS = 1000;
const AGES = [
  ['day', 86_400 * SECOND_MS],
  ['hour', 3600 * SECOND_MS],
  ['minute', 60 * SECOND_MS],
] as const;

/** `1.5 GiB`, `12 B`. */
export function printBytes(bytes: number): string {
  const [unit, size] = UNITS.find(([, least]) => bytes >= least) ?? ['B', 1];
  const value = bytes / size;
  return `${size === 1 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${unit}`;
}

/** `42 %` of a part and the whole, as the pages round it; a dash where there is no whole. */
export function printShare(part: number, whole: number): string {
  if (whole <= 0) return '-';
  const share = (part / whole) * 100;
  if (share > 0 && share < 1) return '< 1 %';
  // All but a little is not all.
  return `${share > 99 && share < 100 ? 99 : Math.round(share)} %`;
}

/** `3 days ago`. */
export function printAge(at: number, now: number): string {
  const age = now - at;
  const [unit, size] = AGES.find(([, least]) => age >= least) ?? ['minute', Infinity];
  const count = Math.floor(age / size);
  return count < 1 ? 'just now' : `${counted(count, unit)} ago`;
}

/** `12,345`. */
export function printCount(count: number): string {
  return count.toLocaleString('en-US');
}

/** `1 image`, `1,200 images`; `repository` becomes `repositories`. */
export function counted(count: number, noun: string): string {
  const plural = noun.endsWith('y') && noun !== 'day' ? `${noun.slice(0, -1)}ies` : `${noun}s`;
  return `${printCount(count)} ${count === 1 ? noun : plural}`;
}
