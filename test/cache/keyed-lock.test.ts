import { expect, it } from 'vitest';
import { KeyedLock } from '../../src/cache/keyed-lock.ts';
import { Gate } from '../support/gate.ts';

it('work for the same key runs one after the other, in the order asked', async () => {
  const lock = new KeyedLock<string>();
  const gate = new Gate();
  const log: string[] = [];
  const work = (name: string) => async () => {
    log.push(`${name} begins`);
    await gate.pass();
    log.push(`${name} ends`);
    return name;
  };
  const all = Promise.all(['a', 'b', 'c'].map((name) => lock.run('key', work(name))));
  await gate.arrived();
  expect(log).toEqual(['a begins']);
  gate.open();
  expect(await all).toEqual(['a', 'b', 'c']);
  expect(log).toEqual(['a', 'b', 'c'].flatMap((name) => [`${name} begins`, `${name} ends`]));
});

it('work for another key does not wait', async () => {
  const lock = new KeyedLock<string>();
  const gate = new Gate();
  const held = lock.run('one', () => gate.pass());
  expect(await lock.run('two', () => Promise.resolve(2))).toBe(2);
  gate.open();
  await held;
});

it('a failure is that of its own work only, and the next in line runs', async () => {
  const lock = new KeyedLock<string>();
  const failed = lock.run('key', () => Promise.reject(new Error('broken')));
  const thrown = lock.run('key', () => {
    throw new Error('thrown at once');
  });
  const next = lock.run('key', () => Promise.resolve('fine'));
  await expect(failed).rejects.toThrow('broken');
  await expect(thrown).rejects.toThrow('thrown at once');
  expect(await next).toBe('fine');
  expect(await lock.run('key', () => Promise.resolve('later'))).toBe('later');
});
