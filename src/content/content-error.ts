/**
 * - `missing`: no such content;
 * - `damaged`: the file is not what the index says: shorter, longer, other bytes, changed while it was read;
 * - `no-space`: the disk or a quota is full;
 * - `exhausted`: this process or the system has no descriptors or memory left; says nothing about the file or the disk;
 * - `io`: any other failure of the file system.
 */
export type ContentErrorReason = 'missing' | 'damaged' | 'no-space' | 'exhausted' | 'io';

export class ContentError extends Error {
  override readonly name = 'ContentError';
  readonly reason: ContentErrorReason;

  constructor(reason: ContentErrorReason, message: string, options?: ErrorOptions) {
    super(message, options);
    this.reason = reason;
  }
}

const REASONS: Readonly<Record<string, ContentErrorReason>> = {
  ENOENT: 'missing',
  // A link where a file should be.
  ELOOP: 'damaged',
  ENOSPC: 'no-space',
  EDQUOT: 'no-space',
  EFBIG: 'no-space',
  EMFILE: 'exhausted',
  ENFILE: 'exhausted',
  ENOMEM: 'exhausted',
  ENOBUFS: 'exhausted',
  EAGAIN: 'exhausted',
};

/** Translates what the file system threw. */
export function contentErrorFrom(cause: unknown, doing: string): ContentError {
  if (cause instanceof ContentError) return cause;
  const code = errorCode(cause);
  if (code === 'ENOENT') return new ContentError('missing', `${doing}: no such file`, { cause });
  const reason = (code === undefined ? undefined : REASONS[code]) ?? 'io';
  return new ContentError(reason, `${doing}: ${code ?? 'failed'}`, { cause });
}

export function errorCode(error: unknown): string | undefined {
  const code: unknown = error instanceof Error && 'code' in error ? error.code : undefined;
  return typeof code === 'string' ? code : undefined;
}
