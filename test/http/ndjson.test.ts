import { expect, it } from 'vitest';
import { StoreOperationError } from '../../src/cache/store-operation-error.ts';
import { systemClock } from '../../src/clock.ts';
import { ndjson } from '../../src/http/ndjson.ts';
import { FakeClock } from '../support/fake-clock.ts';

const never = new AbortController().signal;

interface Told {
  ends: number;
  isAborted: boolean;
  isReturned: boolean;
}

/** Steps that never end by themselves. */
function counting(told: Told): (signal: AbortSignal) => AsyncIterable<object> {
  return async function* (signal) {
    signal.addEventListener('abort', () => (told.isAborted = true));
    try {
      for (let number = 0; ; number += 1) {
        signal.throwIfAborted();
        yield { number };
      }
    } finally {
      told.isReturned = true;
    }
  };
}

function nothingTold(): Told {
  return { ends: 0, isAborted: false, isReturned: false };
}

async function* silent(signal: AbortSignal): AsyncGenerator<object> {
  await new Promise((_, reject) => signal.addEventListener('abort', () => reject(new Error('over'))));
  yield {};
}

async function* atOnce(): AsyncGenerator<object> {
  yield* [] as object[];
  throw new StoreOperationError('not-found', 'nothing is cached of it');
}

async function* later(): AsyncGenerator<object> {
  yield { number: 1 };
  throw new Error('with canary-secret inside');
}

function bodyOf({ body }: Response): ReadableStream<Uint8Array> {
  if (body === null) throw new Error('no body');
  return body;
}

it('goes no faster than it is read, and ends the work of who has gone', async () => {
  const told = nothingTold();
  const options = { clock: systemClock, signal: never, onEnd: () => void (told.ends += 1) };
  const reader = bodyOf(await ndjson(counting(told), options)).getReader();
  const { value } = await reader.read();
  expect(new TextDecoder().decode(value)).toBe('{"number":0}\n');
  expect(told).toEqual({ ends: 0, isAborted: false, isReturned: false });
  await reader.cancel();
  expect(told).toEqual({ ends: 1, isAborted: true, isReturned: true });
});

it('ends the work when the request is over, though nobody reads', async () => {
  const told = nothingTold();
  const request = new AbortController();
  const options = { clock: systemClock, signal: request.signal, onEnd: () => void (told.ends += 1) };
  const reader = bodyOf(await ndjson(counting(told), options)).getReader();
  await reader.read();
  request.abort();
  expect(told.isAborted).toBe(true);
  await reader.cancel();
  expect(told).toEqual({ ends: 1, isAborted: true, isReturned: true });
});

it('is over when the request is, though nobody has begun to read', async () => {
  const told = nothingTold();
  const request = new AbortController();
  const options = { clock: systemClock, signal: request.signal, onEnd: () => void (told.ends += 1) };
  await ndjson(counting(told), options);
  request.abort();
  expect(told).toMatchObject({ ends: 1, isAborted: true });
});

it('says with a blank line that it goes on', async () => {
  const clock = new FakeClock();
  const opening = ndjson(silent, { clock, signal: never, onEnd: () => undefined });
  await clock.advance(1000);
  const reader = bodyOf(await opening).getReader();
  const first = reader.read();
  await clock.advance(10_000);
  expect(new TextDecoder().decode((await first).value)).toBe('\n');
  await reader.cancel().catch(() => undefined);
});

it('fails as a whole when it fails at once, and says it in its last line when it fails later', async () => {
  let ends = 0;
  const options = { clock: systemClock, signal: never, onEnd: () => void (ends += 1) };
  await expect(ndjson(atOnce, options)).rejects.toThrow('nothing is cached of it');
  expect(await (await ndjson(later, options)).text()).toBe(
    '{"number":1}\n{"error":{"reason":"failed","message":"an unexpected error"}}\n',
  );
  expect(ends).toBe(2);
});
