import { deferred } from './deferred.ts';

/**
 * The promise's result, or the signal's reason as soon as it aborts. The promise goes on by itself: for waiting on
 * work that is shared with others.
 */
export async function abortable<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  // Nobody else may be listening to it, now or later.
  promise.catch(() => undefined);
  signal.throwIfAborted();
  const aborted = deferred<never>();
  const leave = (): void => aborted.reject(signal.reason);
  signal.addEventListener('abort', leave, { once: true });
  try {
    return await Promise.race([promise, aborted.promise]);
  } finally {
    signal.removeEventListener('abort', leave);
  }
}
