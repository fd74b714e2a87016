/**
 * - `missing`: no such content;
 * - `damaged`: the file is not what the index says: shorter, longer, unreadable;
 * - `no-space`: the disk or a quota is full;
 * - `io`: any other failure of the file system.
 */
export type ContentErrorReason = 'missing' | 'damaged' | 'no-space' | 'io';

export class ContentError extends Error {
  override readonly name = 'ContentError';
  readonly reason: ContentErrorReason;

  constructor(reason: ContentErrorReason, message: string, options?: ErrorOptions) {
    super(message, options);
    this.reason = reason;
  }
}

const NO_SPACE = new Set(['ENOSPC', 'EDQUOT', 'EFBIG']);

/** Translates what the file system threw. */
export function contentErrorFrom(cause: unknown, doing: string): ContentError {
  if (cause instanceof ContentError) return cause;
  const code = errorCode(cause);
  if (code === 'ENOENT') return new ContentError('missing', `${doing}: no such file`, { cause });
  const reason = code !== undefined && NO_SPACE.has(code) ? 'no-space' : 'io';
  return new ContentError(reason, `${doing}: ${code ?? 'failed'}`, { cause });
}

export function errorCode(error: unknown): string | undefined {
  const code: unknown = error instanceof Error && 'code' in error ? error.code : undefined;
  return typeof code === 'string' ? code : undefined;
}
