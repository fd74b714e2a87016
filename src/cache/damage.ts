import { ContentError, errorCode } from '../content/content-error.ts';

/** What a disk or a file system says of bytes that it has lost. Not what it says when it is out of something. */
const LOST: ReadonlySet<string> = new Set(['EIO', 'EUCLEAN', 'EBADMSG', 'EISDIR', 'ENXIO']);

/** Does the failure mean that this file is bad or gone, rather than that it cannot be had just now (EMFILE, EACCES)? */
export function isDamage(cause: unknown): cause is ContentError {
  if (!(cause instanceof ContentError)) return false;
  if (cause.reason === 'io') return LOST.has(errorCode(cause.cause) ?? '');
  return cause.reason === 'damaged' || cause.reason === 'missing';
}
