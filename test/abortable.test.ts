import { onTestFinished, expect, it } from 'vitest';
import { abortable } from '../src/abortable.ts';
import { deferred } from '../src/deferred.ts';

it('leaves no unhandled rejection behind when nobody waits any more', async () => {
  const unhandled: unknown[] = [];
  const note = (error: unknown): void => void unhandled.push(error);
  process.on('unhandledRejection', note);
  onTestFinished(() => void process.off('unhandledRejection', note));
  const shared = deferred<never>();
  await expect(abortable(shared.promise, AbortSignal.abort(new Error('gone')))).rejects.toThrow('gone');
  shared.reject(new Error('failed later'));
  await new Promise((resolve) => setImmediate(resolve));
  expect(unhandled).toEqual([]);
});
