/** What a 206 carries of a whole. */
export interface ContentRange {
  readonly start: number;
  /** Exclusive; always more than `start`. */
  readonly end: number;
  /** Size of the whole; absent for `*`. When given, not below `end`. */
  readonly total: number | undefined;
}

/** `Content-Range: bytes a-b/n` (RFC 9110 §14.4). `undefined` for anything else and for a range that cannot be. */
export function parseContentRange(value: string | undefined): ContentRange | undefined {
  const found = /^bytes[ \t]+(\d{1,15})-(\d{1,15})\/(?:(\d{1,15})|\*)$/i.exec(value?.trim() ?? '');
  if (found === null) return undefined;
  const [start, last] = [Number(found[1]), Number(found[2])];
  const total = found[3] === undefined ? undefined : Number(found[3]);
  if (last < start || (total !== undefined && last >= total)) return undefined;
  return { start, end: last + 1, total };
}
