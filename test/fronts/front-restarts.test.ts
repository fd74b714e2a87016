import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { FrontRestarts, type LostFront } from '../../src/fronts/front-restarts.ts';
import { createMetrics } from '../../src/metrics.ts';

const SECOND = 1000;
const HOUR = 3600 * SECOND;
const END = { code: 1, signal: null, lastWords: '' };

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

/** Each that is started ends as `lost` says, at once. */
function begin(lost: () => Partial<LostFront>) {
  const errors: string[] = [];
  const state = { started: 0 };
  const metrics = createMetrics({ version: '1.0.0', nodeVersion: 'v20.19.0', upstreams: [] });
  const end = (): void =>
    restarts.ended({ pid: 1, ranMs: 5, end: END, otherVersion: undefined, isMissed: false, ...lost() });
  const start = (): void => {
    state.started += 1;
    end();
  };
  const log = {
    debug: () => undefined,
    info: () => undefined,
    warn: () => undefined,
    error: (facts: object, message: string) => void errors.push(`${message} ${JSON.stringify(facts)}`),
  };
  const restarts = new FrontRestarts({ log, metrics, version: '1.0.0', start });
  return { restarts, errors, state, metrics, end };
}

test('fronts that die young are started anew ever more slowly, without an end', () => {
  const { errors, state, end } = begin(() => ({}));
  end();
  vi.advanceTimersByTime(SECOND);
  expect(state.started).toBe(2);
  vi.advanceTimersByTime(HOUR);
  expect(state.started).toBeGreaterThan(115);
  expect(state.started).toBeLessThan(130);
  expect(errors).toHaveLength(state.started + 1);
});

test('one of another version is told of once, and tried a few times while others serve', async () => {
  const { errors, state, metrics, end } = begin(() => ({ otherVersion: '2.0.0' }));
  end();
  vi.advanceTimersByTime(HOUR);
  expect(state.started).toBe(4);
  expect(errors).toEqual([
    'a worker of another version was ended: entrepot was replaced while it runs, and must be restarted ' +
      '{"pid":1,"version":"1.0.0","workerVersion":"2.0.0"}',
  ]);
  expect((await metrics.render()).text).toContain('\nentrepot_front_restarts_total 4\n');
});

test('one of another version is tried twice a minute while nobody serves, until its files are put back', () => {
  const state = { otherVersion: '2.0.0' as string | undefined };
  const { errors, state: begun, restarts, end } = begin(() => ({ ...state, isMissed: true }));
  end();
  vi.advanceTimersByTime(HOUR);
  expect(begun.started).toBeGreaterThan(110);
  expect(begun.started).toBeLessThan(130);
  expect(errors).toHaveLength(1);
  restarts.served();
  vi.advanceTimersByTime(60 * SECOND);
  expect(errors).toHaveLength(2);
});

test('nothing is started after it was closed', () => {
  const { restarts, state, end } = begin(() => ({}));
  end();
  restarts.close();
  vi.advanceTimersByTime(HOUR);
  expect(state.started).toBe(0);
});
