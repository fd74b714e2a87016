import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SingleFlight } from '../../src/pull-through/single-flight.ts';
import { Gate } from '../support/gate.ts';

const never = new AbortController().signal;

async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn += 1) await Promise.resolve();
}

describe('equal work at the same time', () => {
  it('is done once, and all have its result', async () => {
    const flights = new SingleFlight();
    const gate = new Gate();
    let runs = 0;
    const work = async () => {
      runs += 1;
      await gate.pass();
      return { runs };
    };
    const all = Array.from({ length: 10 }, () => flights.run('key', work, never));
    expect(flights.isRunning('key')).toBe(true);
    gate.open();
    const results = await Promise.all(all);
    expect(new Set(results).size).toBe(1);
    expect(flights.isRunning('key')).toBe(false);
    expect(await flights.run('key', work, never)).toEqual({ runs: 2 });
  });

  it('fails for all alike, and is begun anew by who comes later', async () => {
    const flights = new SingleFlight();
    const failure = new Error('no');
    const both = [1, 2].map(() => flights.run('key', () => Promise.reject(failure), never));
    for (const each of both) await expect(each).rejects.toBe(failure);
    expect(await flights.run('key', () => Promise.resolve('yes'), never)).toBe('yes');
  });

  it('is something else under another key', async () => {
    const flights = new SingleFlight();
    const both = [1, 2].map((key) => flights.run(`key ${key}`, () => Promise.resolve(key), never));
    expect(await Promise.all(both)).toEqual([1, 2]);
  });
});

describe('a caller who leaves', () => {
  it('is let go at once with its own reason, and the others have what they came for', async () => {
    const flights = new SingleFlight();
    const gate = new Gate();
    const signals: AbortSignal[] = [];
    const work = async (signal: AbortSignal) => {
      signals.push(signal);
      await gate.pass();
      return 'done';
    };
    const leaver = new AbortController();
    const leaving = flights.run('key', work, leaver.signal);
    const staying = flights.run('key', work, never);
    const reason = new Error('off');
    leaver.abort(reason);
    await expect(leaving).rejects.toBe(reason);
    gate.open();
    expect(await staying).toBe('done');
    expect(signals).toHaveLength(1);
  });

  it('as the last one ends the work, and who comes then does not share its end', async () => {
    const flights = new SingleFlight();
    const leaver = new AbortController();
    let runs = 0;
    const work = (signal: AbortSignal) => {
      runs += 1;
      if (runs > 1) return Promise.resolve('fresh');
      return new Promise<string>((_, reject) => {
        signal.addEventListener('abort', () => reject(new Error('ended')));
      });
    };
    const leaving = flights.run('key', work, leaver.signal);
    leaver.abort(new Error('off'));
    await expect(leaving).rejects.toThrow('off');
    expect(await flights.run('key', work, never)).toBe('fresh');
  });

  it('before the start begins nothing', async () => {
    const flights = new SingleFlight();
    const reason = new Error('gone already');
    const begun: string[] = [];
    const work = () => {
      begun.push('work');
      return Promise.resolve();
    };
    await expect(flights.run('key', work, AbortSignal.abort(reason))).rejects.toBe(reason);
    expect(begun).toEqual([]);
  });
});

it('whoever comes and goes, nobody who stays is left without a result', async () => {
  const step = fc.record({ leaves: fc.boolean(), after: fc.nat(6), startsAt: fc.nat(6) });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 12 }), fc.nat(6), async (steps, workTurns) => {
      const flights = new SingleFlight();
      let running = 0;
      let most = 0;
      const work = async (signal: AbortSignal) => {
        running += 1;
        most = Math.max(most, running);
        await turns(workTurns);
        running -= 1;
        signal.throwIfAborted();
        return 'done';
      };
      const ends = await Promise.all(
        steps.map(async ({ leaves, after, startsAt }) => {
          await turns(startsAt);
          const controller = new AbortController();
          const result = flights.run('key', work, controller.signal).catch(() => 'left');
          if (leaves) {
            await turns(after);
            controller.abort();
          }
          return result;
        }),
      );
      for (const [at, end] of ends.entries()) {
        if (steps[at]?.leaves === false) expect(end).toBe('done');
      }
      expect(flights.isRunning('key')).toBe(false);
      // Work that was given up may still be on its way out while the next runs; work that is wanted runs once.
      if (steps.every(({ leaves }) => !leaves)) expect(most).toBe(1);
    }),
    { numRuns: 500 },
  );
});
