/**
 * - `exists`: there is something under the name already;
 * - `no-space`: the disk is full, or a file may not become so large there;
 * - `unwritable`: the file system refuses otherwise;
 * - `unsupported`: this Node cannot do it.
 */
export type OutputErrorReason = 'exists' | 'no-space' | 'unwritable' | 'unsupported';

/** Why something could not be written where the user wants it. The message names the file. */
export class OutputError extends Error {
  override readonly name = 'OutputError';
  readonly reason: OutputErrorReason;

  constructor(reason: OutputErrorReason, message: string, options?: ErrorOptions) {
    super(message, options);
    this.reason = reason;
  }
}

/** Translates what the file system threw about `path`. */
export function outputErrorFrom(cause: unknown, path: string): OutputError {
  if (cause instanceof OutputError) return cause;
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'unknown';
  if (code === 'ENOSPC' || code === 'EDQUOT')
    return new OutputError('no-space', `${path}: the disk is full; nothing of it is kept`, { cause });
  if (code === 'EFBIG')
    return new OutputError(
      'no-space',
      `${path}: the file system takes no file as large as that: --max-part-size splits it`,
      { cause },
    );
  const what = code === 'ENOENT' ? 'there is no such directory' : `cannot be written (${code})`;
  return new OutputError('unwritable', `${path}: ${what}`, { cause });
}
