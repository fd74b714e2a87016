import { ContentError } from '../content/content-error.ts';

/** Does the failure mean that this file is bad, rather than that it cannot be had just now? */
export function isDamage(cause: unknown): cause is ContentError {
  return cause instanceof ContentError && cause.reason === 'damaged';
}
