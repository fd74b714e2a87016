import type { IncomingMessage } from 'node:http';
import { expect, onTestFinished, test } from 'vitest';
import { LentAnswers } from '../../src/fronts/lent-answers.ts';
import type { HotAnswer } from '../../src/http/hot-answers.ts';

const REQUEST = {
  method: 'GET',
  url: '/v2/a/manifests/b',
  headers: { 'user-agent': 'c' },
} as IncomingMessage;

function answer(): HotAnswer {
  const record = {
    kind: 'manifest',
    upstream: 'docker.io',
    repository: 'a',
    reference: 'b',
    outcome: 'hit',
    reason: undefined,
    error: undefined,
  } as const;
  return { record, headers: [], body: Buffer.from('12345') };
}

test('are told of as if we had answered; of what was never lent nothing is', () => {
  const lent = new LentAnswers(
    () => 1,
    () => undefined,
  );
  onTestFinished(() => lent.close());
  const one = answer();
  expect(lent.lend(one, REQUEST, 900.7)?.[1]).toBe('1 900 1');
  expect(lent.lend(one, REQUEST, 800)?.[1]).toBe('1 800 1');
  expect(lent.lend(answer(), REQUEST, 800)?.[1]).toBe('2 800 1');
  const report = { answer: 1, id: 'x', client: '::ffff:192.0.2.1', ms: 12, firstByteMs: 2, isComplete: true };
  const finished = lent.finished(report);
  expect(finished).toMatchObject({
    id: 'x',
    client: '192.0.2.1',
    sentBytes: 5,
    status: 200,
    isComplete: true,
  });
  expect(finished?.record).toMatchObject({ outcome: 'hit', reference: 'b' });
  expect(finished?.request).toEqual({
    method: 'GET',
    url: '/v2/a/manifests/b',
    headers: { 'user-agent': 'c' },
  });
  expect(lent.finished({ ...report, answer: 3 })).toBeUndefined();
});

test('are called back as soon as a decision may be another one', async () => {
  let generation = 1;
  const told: number[] = [];
  const lent = new LentAnswers(
    () => generation,
    (changed) => told.push(changed),
  );
  onTestFinished(() => lent.close());
  lent.lend(answer(), REQUEST, 1000);
  generation = 2;
  await expect.poll(() => told).toEqual([2]);
  // What is lent now is of now.
  expect(lent.lend(answer(), REQUEST, 1000)?.[1]).toBe('2 1000 2');
});

test('are as many as can be told of, at most', () => {
  const lent = new LentAnswers(
    () => 1,
    () => undefined,
  );
  onTestFinished(() => lent.close());
  const one = answer();
  for (let count = 0; count < 20_000; count += 1) lent.lend(count === 0 ? one : answer(), REQUEST, 900);
  expect(lent.lend(answer(), REQUEST, 900)).toBeUndefined();
  expect(lent.lend(one, REQUEST, 900)?.[1]).toBe('1 900 1');
});

test('are called back at once when somebody says that a decision changed, once and only where any are', () => {
  let generation = 1;
  const told: number[] = [];
  const lent = new LentAnswers(
    () => generation,
    (changed) => told.push(changed),
  );
  onTestFinished(() => lent.close());
  generation = 2;
  lent.look();
  expect(told).toEqual([]);
  lent.lend(answer(), REQUEST, 1000);
  for (generation = 3; generation < 10; generation += 1) lent.look();
  expect(told).toEqual([3]);
});
