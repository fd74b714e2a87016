import { describe, expect, it, vi } from 'vitest';
import type { LiveView } from '../../src/activity/live-view.ts';
import { LiveEvents } from '../../src/http/live-events.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { SOON } from '../support/soon.ts';

/** Watched with a clock of our own; counts how often it is looked at what goes on. */
function start() {
  const clock = new FakeClock();
  const seen = { looks: 0, isBroken: false };
  const live = async (): Promise<LiveView> => {
    if (seen.isBroken) throw new Error('broken');
    seen.looks += 1;
    return Promise.resolve({ at: seen.looks, requests: [], requestCount: 0, fills: [], fillCount: 0 });
  };
  return { clock, seen, events: new LiveEvents({ activity: { live }, clock }) };
}

const never = new AbortController().signal;

/** When each event that is here already was made. */
async function next(reader: ReadableStreamDefaultReader<Uint8Array>): Promise<number | undefined> {
  const { done, value } = await reader.read();
  if (done) return undefined;
  const [, text = ''] = /^data: (.*)\n\n$/.exec(new TextDecoder().decode(value)) ?? [];
  return (JSON.parse(text) as LiveView).at;
}

function readerOf({ body }: Response): ReadableStreamDefaultReader<Uint8Array> {
  if (body === null) throw new Error('there is no body');
  return body.getReader();
}

describe('what goes on, as events', () => {
  it('is told at once, and every second, to all who watch by one look', async () => {
    const { clock, seen, events } = start();
    const answer = await events.watch(never);
    expect(answer.headers.get('content-type')).toBe('text/event-stream');
    const [one, other] = [readerOf(answer), readerOf(await events.watch(never))];
    expect([await next(one), await next(other)]).toEqual([1, 2]);
    await clock.advance(1000);
    expect([await next(one), await next(other)]).toEqual([3, 3]);
    expect(seen.looks).toBe(3);
    await one.cancel();
    await other.cancel();
  });

  it('is not looked at for nobody', async () => {
    const { clock, seen, events } = start();
    const leaving = new AbortController();
    await events.watch(leaving.signal);
    const reader = readerOf(await events.watch(never));
    leaving.abort();
    expect(events.watcherCount).toBe(1);
    await reader.cancel();
    expect([events.watcherCount, clock.sleeping]).toEqual([0, 0]);
    const { looks } = seen;
    await clock.advance(10_000);
    expect(seen.looks).toBe(looks);
    // And again for the next one.
    const again = readerOf(await events.watch(never));
    await next(again);
    await clock.advance(1000);
    expect(await next(again)).toBe(looks + 2);
    await again.cancel();
  });

  it('waits for no slow reader, and keeps little for it', async () => {
    const { clock, seen, events } = start();
    const reader = readerOf(await events.watch(never));
    for (let at = 0; at < 20; at += 1) await clock.advance(1000);
    expect(seen.looks).toBe(21);
    expect([await next(reader), await next(reader)]).toEqual([1, 2]);
    await clock.advance(1000);
    expect(await next(reader)).toBe(22);
    await reader.cancel();
  });

  it('is told to 32 at most', async () => {
    const { events } = start();
    const readers = [];
    for (let at = 0; at < 32; at += 1)
      readers.push(readerOf(await events.watch(new AbortController().signal)));
    await expect(events.watch(never)).rejects.toMatchObject({ reason: 'busy' });
    await readers[0]?.cancel();
    const last = readerOf(await events.watch(never));
    for (const reader of [...readers, last]) await reader.cancel();
    expect(events.watcherCount).toBe(0);
  });

  it('ends when it cannot be told any more', async () => {
    const { clock, seen, events } = start();
    const reader = readerOf(await events.watch(never));
    await next(reader);
    seen.isBroken = true;
    await clock.advance(1000);
    await vi.waitFor(async () => expect(await next(reader)).toBeUndefined(), SOON);
    expect(events.watcherCount).toBe(0);
    await expect(events.watch(never)).rejects.toThrow('broken');
    seen.isBroken = false;
    await readerOf(await events.watch(never)).cancel();
  });
});
