import { describe, expect, it } from 'vitest';
import { Watchdog } from '../../src/upstream/watchdog.ts';
import { FakeClock } from '../support/fake-clock.ts';

const pace = { firstByteMs: 20_000, idleMs: 30_000, minimum: { bytes: 1_000, windowMs: 60_000 } };

function watched(): { clock: FakeClock; watchdog: Watchdog; expired: string[] } {
  const clock = new FakeClock();
  const expired: string[] = [];
  const watchdog = new Watchdog(clock, pace, (what) => expired.push(what));
  return { clock, watchdog, expired };
}

describe('Watchdog', () => {
  it('expires once when no headers come', async () => {
    const { clock, expired } = watched();
    await clock.advance(19_999);
    expect(expired).toEqual([]);
    await clock.advance(200_000);
    expect(expired).toEqual(['did not answer in time']);
    expect(clock.sleeping).toBe(0);
  });

  it('expires when the body stops', async () => {
    const { clock, watchdog, expired } = watched();
    watchdog.answered();
    watchdog.progress(10_000);
    await clock.advance(29_000);
    expect(expired).toEqual([]);
    await clock.advance(31_000);
    expect(expired).toEqual(['stopped sending']);
  });

  it('expires when the body drips', async () => {
    const { clock, watchdog, expired } = watched();
    watchdog.answered();
    for (let second = 0; second < 150 && expired.length === 0; second += 1) {
      watchdog.progress(10);
      await clock.advance(1_000);
    }
    expect(expired).toEqual(['sends too slowly']);
  });

  it('lets a slow but steady body go on for ever', async () => {
    const { clock, watchdog, expired } = watched();
    watchdog.answered();
    for (let second = 0; second < 1_000; second += 1) {
      watchdog.progress(50);
      await clock.advance(1_000);
    }
    expect(expired).toEqual([]);
    watchdog.stop();
    expect(clock.sleeping).toBe(0);
  });

  it('does not count the time in which the reader holds the body up', async () => {
    const { clock, watchdog, expired } = watched();
    watchdog.answered();
    watchdog.pause();
    await clock.advance(1_000_000);
    expect(expired).toEqual([]);
    watchdog.resume();
    await clock.advance(61_000);
    expect(expired).toEqual(['stopped sending']);
  });
});
