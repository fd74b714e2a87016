import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { OwnerMessage } from '../../src/fronts/front-messages.ts';
import type { FrontProcessListeners } from '../../src/fronts/front-process.ts';
import { RunningFront } from '../../src/fronts/running-front.ts';

const PONG = { kind: 'pong', cpuSeconds: 1, residentBytes: 1 };

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'performance'] });
});
afterEach(() => {
  vi.useRealTimers();
});

/** A front that says what it is told to. */
function begin() {
  const told: OwnerMessage[] = [];
  const state = { isKilled: false };
  let listeners: FrontProcessListeners | undefined;
  const front = new RunningFront({
    version: '1.0.0',
    start: (given) => {
      listeners = given;
      return { pid: 1, send: (message) => void told.push(message), kill: () => (state.isKilled = true) };
    },
    ownerPath: '/nowhere',
    listeners: [],
    onReady: () => undefined,
    onRepeated: () => undefined,
    onEnd: () => undefined,
  });
  return {
    front,
    told,
    state,
    say: (message: unknown) => listeners?.onMessage(message),
    end: () => listeners?.onEnd({ code: null, signal: 'SIGKILL', lastWords: '' }),
  };
}

test('is not killed for a time in which its owner stood still', () => {
  const { state, say } = begin();
  say({ kind: 'ready' });
  vi.advanceTimersByTime(5_000);
  say(PONG);
  // The clock went on, and no timer came.
  const now = performance.now();
  vi.spyOn(performance, 'now').mockImplementation(() => now + 120_000);
  vi.advanceTimersByTime(5_000);
  expect(state.isKilled).toBe(false);
  vi.restoreAllMocks();
});

test('is killed when it answers no ping for half a minute, and not before', () => {
  const { state, say, told } = begin();
  say({ kind: 'ready' });
  for (let time = 0; time < 100; time += 1) {
    vi.advanceTimersByTime(5_000);
    say(PONG);
  }
  vi.advanceTimersByTime(30_000);
  expect(state.isKilled).toBe(false);
  vi.advanceTimersByTime(5_000);
  expect(state.isKilled).toBe(true);
  expect(told.filter(({ kind }) => kind === 'ping')).toHaveLength(106);
});

test('is killed when it is not ready in time, though it answers', () => {
  const { state, say } = begin();
  for (let time = 0; time < 7; time += 1) {
    expect(state.isKilled).toBe(false);
    vi.advanceTimersByTime(5_000);
    say(PONG);
  }
  expect(state.isKilled).toBe(true);
});

test('has forgotten when it says so, of this generation or a later one', async () => {
  const { front, told, say, state } = begin();
  say({ kind: 'ready' });
  front.forget(3);
  front.forget(4);
  expect(told.slice(-2)).toEqual([
    { kind: 'forget', generation: 3 },
    { kind: 'forget', generation: 4 },
  ]);
  let isDone = false;
  const wait = async (): Promise<void> => {
    await front.forgotten();
    isDone = true;
  };
  const forgotten = wait();
  say({ kind: 'forgotten', generation: 3 });
  await vi.advanceTimersByTimeAsync(1000);
  expect(isDone).toBe(false);
  say({ kind: 'forgotten', generation: 4 });
  await forgotten;
  vi.advanceTimersByTime(8000);
  expect(state.isKilled).toBe(false);
});

test('is killed when it does not forget in time, and has forgotten then', async () => {
  const { front, say, state, end } = begin();
  say({ kind: 'ready' });
  front.forget(3);
  const forgotten = front.forgotten();
  vi.advanceTimersByTime(4_500);
  expect(state.isKilled).toBe(false);
  vi.advanceTimersByTime(1_000);
  expect(state.isKilled).toBe(true);
  end();
  await forgotten;
});
