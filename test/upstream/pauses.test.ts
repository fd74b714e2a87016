import { expect, test } from 'vitest';
import { Pauses } from '../../src/upstream/pauses.ts';
import { FakeClock } from '../support/fake-clock.ts';

const never = new AbortController().signal;

test('a pause that is over keeps nobody back who has no patience, though time goes by while it is looked at', async () => {
  const clock = new FakeClock();
  let steps = 0;
  const running = {
    now: () => clock.now(),
    monotonic: () => clock.monotonic() + (steps += 0.001),
    sleep: (ms: number, signal?: AbortSignal) => clock.sleep(ms, signal),
  };
  const pauses = new Pauses(running);
  pauses.begin('manifest-head', 10_000);
  await expect(pauses.pass('manifest-head', 0, never)).rejects.toMatchObject({ reason: 'rate-limited' });
  await clock.advance(10_000);
  const answered = await pauses.pass('manifest-head', 0, never);
  answered();
  (await pauses.pass('manifest-head', 0, never))();
});
