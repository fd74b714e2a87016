/**
 * - `unreadable`: the file system did not give it;
 * - `unknown`: it is none of the formats that are read;
 * - `invalid`: it breaks the rules of its format, or tries to get around them;
 * - `damaged`: cut off, or other bytes than it says itself;
 * - `too-large`: more than is read of anything.
 */
export type LayoutErrorReason = 'unreadable' | 'unknown' | 'invalid' | 'damaged' | 'too-large';

/** What is wrong with an archive or a layout's directory. The message names the file, and the entry where it is about one. */
export class LayoutError extends Error {
  override readonly name = 'LayoutError';
  readonly reason: LayoutErrorReason;

  constructor(reason: LayoutErrorReason, message: string, options?: ErrorOptions) {
    super(message, options);
    this.reason = reason;
  }
}

/** Translates what the file system threw about `place`. */
export function layoutErrorFrom(cause: unknown, place: string): LayoutError {
  if (cause instanceof LayoutError) return cause;
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'unknown';
  const what = code === 'ENOENT' ? 'there is no such file' : `cannot be read (${code})`;
  return new LayoutError('unreadable', `${place}: ${what}`, { cause });
}
