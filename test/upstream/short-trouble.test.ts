import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it, vi } from 'vitest';
import type { Upstream } from '../../src/upstream/upstream.ts';
import { digestOf } from '../../src/oci/digest.ts';
import { OCI_MANIFEST } from '../../src/oci/media-type.ts';
import { parseRepositoryName } from '../../src/oci/reference.ts';
import { DEFAULT_PATIENCE_MS } from '../../src/upstream/retry.ts';
import { closeAfterTest } from '../support/close-after-test.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { FakeRegistry } from '../support/fake-registry.ts';
import type { FaultAction } from '../support/fault.ts';
import { Gate } from '../support/gate.ts';
import { SOON } from '../support/soon.ts';
import {
  accept,
  failure,
  latest,
  manifestText,
  never,
  RecordingObserver,
  repository,
  upstreamAt,
} from './upstream-under-test.ts';

const small = { ...accept, patienceMs: 2_000 };
const manifests = /\/manifests\//;
const DIGEST = digestOf(Buffer.from('x'), 'sha256');

interface Scene {
  readonly clock: FakeClock;
  readonly registry: FakeRegistry;
  readonly observer: RecordingObserver;
  readonly upstream: Upstream;
}

async function start(clock = new FakeClock()): Promise<Scene> {
  const registry = closeAfterTest(await FakeRegistry.start({ now: () => clock.monotonic() }));
  registry.addManifest(repository, manifestText(), OCI_MANIFEST, ['latest']);
  const observer = new RecordingObserver();
  return { clock, registry, observer, upstream: upstreamAt(registry.url, {}, { clock, observer }) };
}

/** Waits between tries and pauses that a request sits through are shorter than this; deadlines are longer. */
const LONGEST_WAIT_MS = 13_000;

/**
 * Moves time on until the promise is settled, and gives how long that took. Time stands still while a request is on
 * the wire and while nothing but deadlines would be reached: so it does not matter how slow the sockets are.
 */
async function playOut({ clock, observer }: Scene, promise: Promise<unknown>): Promise<number> {
  const startedAtMs = clock.monotonic();
  const state = { settled: false };
  const watched = promise.finally(() => {
    state.settled = true;
  });
  watched.catch(() => undefined);
  while (!state.settled) {
    await delay(1);
    const next = clock.nextWakeMs;
    if (observer.waiting > 0 || next === undefined || next > LONGEST_WAIT_MS) continue;
    await clock.advance(next);
  }
  return clock.monotonic() - startedAtMs;
}

/** Moves time on to the next deadline, again and again, until the promise is settled: for an upstream that hangs. */
async function timeOut({ clock }: Scene, promise: Promise<unknown>): Promise<number> {
  const startedAtMs = clock.monotonic();
  const state = { settled: false };
  const watched = promise.finally(() => {
    state.settled = true;
  });
  watched.catch(() => undefined);
  while (!state.settled && clock.monotonic() - startedAtMs < 600_000) {
    await clock.advance(Math.max(1, clock.nextWakeMs ?? 1));
    await delay(1);
  }
  return clock.monotonic() - startedAtMs;
}

/** Three connections in a row have failed, and all others will. */
async function startDown(): Promise<Scene & { readonly ask: () => Promise<unknown> }> {
  const scene = await start();
  const { registry, upstream } = scene;
  registry.faults.add({ action: { drop: 'reset' } });
  for (let count = 0; count < 3; count += 1) {
    await failure(upstream.getManifest(repository, latest, { ...accept, patienceMs: 0 }, never()));
  }
  return { ...scene, ask: async () => failure(upstream.getManifest(repository, latest, small, never())) };
}

describe('short trouble', () => {
  it.each<[string, FaultAction]>([
    ['500', { respond: { status: 500 } }],
    ['502', { respond: { status: 502 } }],
    ['503', { respond: { status: 503 } }],
    ['504', { respond: { status: 504 } }],
    ['503 with Retry-After', { respond: { status: 503, headers: { 'retry-after': '2' } } }],
    ['429 with a short Retry-After', { respond: { status: 429, headers: { 'retry-after': '3' } } }],
    ['a reset before the headers', { drop: 'reset' }],
    ['an end before the headers', { drop: 'end' }],
  ])('of the kind %s is waited out inside the request', async (_what, action) => {
    const scene = await start();
    const { registry, observer, upstream } = scene;
    registry.faults.add({ match: { nth: 1, times: 2 }, action });
    const asked = upstream.getManifest(repository, latest, accept, never());
    const tookMs = await playOut(scene, asked);
    await asked;
    expect(tookMs).toBeLessThanOrEqual(DEFAULT_PATIENCE_MS);
    expect(registry.requests).toHaveLength(3);
    expect(observer.named('retried')).toHaveLength(2);
  });

  it('of a 429 with a date is waited out', async () => {
    const scene = await start();
    const { clock, registry, upstream } = scene;
    const headers = { 'retry-after': new Date(clock.now() + 3_000).toUTCString() };
    registry.faults.add({ match: { nth: 1 }, action: { respond: { status: 429, headers } } });
    const asked = upstream.getManifest(repository, latest, accept, never());
    expect(await playOut(scene, asked)).toBe(3_000);
    await asked;
  });

  it.each<[string, FaultAction, number]>([
    ['404', { respond: { status: 404 } }, 1],
    ['400', { respond: { status: 400 } }, 1],
    ['501', { respond: { status: 501 } }, 1],
    ['429 without Retry-After', { respond: { status: 429 } }, 1],
    ['429 with a long Retry-After', { respond: { status: 429, headers: { 'retry-after': '60' } } }, 1],
    ['503 with a long Retry-After', { respond: { status: 503, headers: { 'retry-after': '60' } } }, 1],
  ])('is not what a %s is', async (_what, action, requests) => {
    const { clock, registry, upstream } = await start();
    registry.faults.add({ action });
    await failure(upstream.getManifest(repository, latest, accept, never()));
    expect(registry.requests).toHaveLength(requests);
    expect(clock.monotonic()).toBe(0);
  });

  it('that lasts fails well within 30 s', async () => {
    const scene = await start();
    const { registry, upstream } = scene;
    registry.faults.add({ action: { respond: { status: 503 } } });
    const asked = failure(upstream.getManifest(repository, latest, accept, never()));
    expect(await playOut(scene, asked)).toBeLessThanOrEqual(DEFAULT_PATIENCE_MS);
    expect((await asked).reason).toBe('unavailable');
    expect(registry.requests.length).toBeGreaterThan(2);
  });

  it('is met with one try when there is no patience', async () => {
    const { registry, upstream } = await start();
    registry.faults.add({ action: { respond: { status: 503 } } });
    const options = { ...accept, patienceMs: 0 };
    await failure(upstream.getManifest(repository, latest, options, never()));
    expect(registry.requests).toHaveLength(1);
  });

  it('is left when the signal aborts', async () => {
    const { clock, registry, upstream } = await start();
    registry.faults.add({ action: { respond: { status: 429, headers: { 'retry-after': '5' } } } });
    const controller = new AbortController();
    const asked = failure(upstream.getManifest(repository, latest, accept, controller.signal));
    await clock.asleep();
    controller.abort(new Error('left'));
    expect((await asked).message).toBe('left');
  });

  it('is not multiplied: retries stay within a tenth of the requests, and a burst', async () => {
    const scene = await start();
    const { registry, upstream } = scene;
    registry.faults.add({ match: { method: 'GET' }, action: { respond: { status: 503 } } });
    const asked = Array.from({ length: 100 }, () =>
      failure(upstream.getManifest(repository, latest, accept, never())),
    );
    const tookMs = await playOut(scene, Promise.all(asked));
    expect(registry.requests.length).toBeLessThanOrEqual(100 + 10 + 10 + Math.ceil(tookMs / 1000));
  });

  it('asks for a manifest that was cut in the middle once more, and no more', async () => {
    const scene = await start();
    const { registry, upstream } = scene;
    registry.faults.add({ action: { cutAfter: 5 } });
    const asked = failure(upstream.getManifest(repository, latest, accept, never()));
    await playOut(scene, asked);
    expect(registry.requests).toHaveLength(2);
  });
});

describe('a rate limit', () => {
  const limited = { respond: { status: 429, headers: { 'retry-after': '60' } } };

  it('keeps requests of its kind back until the time that was named, without asking', async () => {
    const scene = await start();
    const { clock, registry, upstream } = scene;
    const fault = registry.faults.add({ match: { method: 'GET', path: manifests }, action: limited });
    expect(await failure(upstream.getManifest(repository, latest, accept, never()))).toMatchObject({
      reason: 'rate-limited',
      retryAfterMs: 60_000,
    });
    await clock.advance(20_000);
    for (let count = 0; count < 20; count += 1) {
      expect(await failure(upstream.getManifest(repository, latest, accept, never()))).toMatchObject({
        reason: 'rate-limited',
        retryAfterMs: 40_000,
      });
    }
    expect(registry.requests).toHaveLength(1);
    fault.remove();
    await clock.advance(30_000);
    const waiting = upstream.getManifest(repository, latest, accept, never());
    expect(await playOut(scene, waiting)).toBe(10_000);
    await waiting;
  });

  it('on manifest GETs leaves HEADs, blobs and tags alone', async () => {
    const { registry, upstream } = await start();
    const digest = registry.addBlob(repository, { size: 10, seed: 1 });
    registry.faults.add({ match: { method: 'GET', path: manifests }, action: limited });
    await failure(upstream.getManifest(repository, latest, accept, never()));
    expect((await upstream.headManifest(repository, latest, accept, never())).digest).toBeDefined();
    expect(await upstream.headBlob(repository, digest, never())).toBe(10);
    expect(await upstream.listTags(repository, {}, never())).toEqual(['latest']);
  });

  it('that goes on is found out by one request for each window', async () => {
    const scene = await start();
    const { clock, registry, upstream } = scene;
    registry.faults.add({ action: { respond: { status: 429, headers: { 'retry-after': '8' } } } });
    const storm = async (): Promise<void> => {
      const asked = Array.from({ length: 30 }, () =>
        failure(upstream.getManifest(repository, latest, accept, never())),
      );
      await playOut(scene, Promise.all(asked));
    };
    await failure(upstream.getManifest(repository, latest, { ...accept, patienceMs: 0 }, never()));
    await storm();
    // One at the start, one after 8 s; what still had patience then saw the next window and left.
    expect(registry.requests.length).toBeLessThanOrEqual(2 + Math.ceil(clock.monotonic() / 8_000));
  });

  it('without a time lasts five seconds, and never longer than a day', async () => {
    const { clock, registry, upstream } = await start();
    registry.faults.add({ match: { nth: 1 }, action: { respond: { status: 429 } } });
    registry.faults.add({
      match: { nth: 2 },
      action: { respond: { status: 429, headers: { 'retry-after': '8640000' } } },
    });
    const ask = async (): Promise<{ retryAfterMs?: number | undefined }> =>
      failure(upstream.getManifest(repository, latest, { ...accept, patienceMs: 0 }, never()));
    expect((await ask()).retryAfterMs).toBeUndefined();
    expect((await ask()).retryAfterMs).toBe(5_000);
    await clock.advance(5_000);
    await ask();
    expect((await ask()).retryAfterMs).toBe(24 * 3_600_000);
  });

  it('that is to last no time is not asked through again and again', async () => {
    const scene = await start();
    const headers = { 'retry-after': '0' };
    scene.registry.faults.add({ action: { respond: { status: 429, headers } } });
    await playOut(scene, failure(scene.upstream.getManifest(repository, latest, accept, never())));
    // 12 s of patience, a second at least between two tries.
    expect(scene.registry.requests.length).toBeLessThanOrEqual(12);
    expect(scene.clock.monotonic()).toBeGreaterThan(5_000);
  });

  it('is reported as the headers say it', async () => {
    const { registry, observer, upstream } = await start();
    registry.configure({ pullLimit: { limit: 100, remaining: 50 } });
    await upstream.getManifest(repository, latest, accept, never());
    expect(observer.events).toContainEqual({
      name: 'rateLimit',
      facts: { limit: 100, remaining: 49, windowMs: 21_600_000, account: 'anonymous' },
    });
  });
});

describe('an upstream that is down', () => {
  it('is not asked by who has something else, but for one probe in a window that doubles', async () => {
    const { clock, registry, ask, observer } = await startDown();
    expect(observer.events).toContainEqual({ name: 'availabilityChanged', facts: { up: false } });
    const asked: number[] = [];
    for (let second = 0; second < 130; second += 1) {
      const before = registry.requests.length;
      await Promise.all([ask(), ask(), ask()]);
      if (registry.requests.length > before) asked.push(second);
      expect(registry.requests.length - before).toBeLessThanOrEqual(1);
      await clock.advance(1_000);
    }
    expect(asked).toEqual([2, 6, 14, 29, 44, 59, 74, 89, 104, 119]);
  });

  it('gets one try from who has nothing else', async () => {
    const { clock, registry, upstream } = await startDown();
    const before = registry.requests.length;
    await failure(upstream.getManifest(repository, latest, accept, never()));
    expect(registry.requests.length).toBe(before + 1);
    expect(clock.monotonic()).toBe(0);
  });

  it('is dead once it failed again: then everybody fails at once, whatever their patience', async () => {
    const { clock, registry, upstream } = await startDown();
    const get = async () => failure(upstream.getManifest(repository, latest, accept, never()));
    await clock.advance(2_000);
    await get();
    const before = registry.connections;
    const startedAtMs = clock.monotonic();
    const errors = await Promise.all([get(), get(), failure(upstream.headBlob(repository, DIGEST, never()))]);
    expect(errors.map(({ reason }) => reason)).toEqual(['unavailable', 'unavailable', 'unavailable']);
    expect(errors[0]?.retryAfterMs).toBe(4_000);
    // Why, too: what was wrong with it is of use to who reads it.
    expect(errors[0]?.message).toMatch(/has not answered lately: .+/);
    expect([registry.connections, clock.monotonic()]).toEqual([before, startedAtMs]);
  });

  it('is tried by one when it may be back, whom the others wait for', async () => {
    const { clock, registry, upstream } = await startDown();
    const get = async () => upstream.getManifest(repository, latest, accept, never());
    await clock.advance(2_000);
    await failure(get());
    await clock.advance(4_000);
    registry.faults.clear();
    const gate = new Gate();
    registry.faults.add({ action: { gate } });
    registry.forget();
    const asking = [get(), get(), get()];
    await registry.received();
    expect(registry.requests).toHaveLength(1);
    gate.open();
    await Promise.all(asking);
    expect(registry.requests).toHaveLength(3);
  });

  it('is not waited for longer than a moment by those who do not try it themselves', async () => {
    const { clock, registry, upstream } = await startDown();
    const get = async () => upstream.getManifest(repository, latest, accept, never());
    await clock.advance(2_000);
    await failure(get());
    await clock.advance(4_000);
    registry.faults.clear();
    registry.faults.add({ action: { hang: true } });
    registry.forget();
    const [probe, other] = [failure(get()), failure(get())];
    await registry.received();
    await clock.advance(1_000);
    expect((await other).reason).toBe('unavailable');
    await clock.advance(30_000);
    expect((await probe).reason).toBe('timeout');
    expect(registry.requests).toHaveLength(1);
  });

  it('is not waited for longer by who tries it and has something else: the try goes on beside', async () => {
    const { clock, registry, ask, observer, upstream } = await startDown();
    await clock.advance(2_000);
    registry.faults.clear();
    const gate = new Gate();
    registry.faults.add({ match: { nth: 1 }, action: { gate } });
    registry.forget();
    const probe = ask();
    await registry.received();
    const other = ask();
    await clock.advance(1_000);
    expect(await probe).toMatchObject({ reason: 'unavailable' });
    expect(await other).toMatchObject({ reason: 'unavailable' });
    expect(registry.requests).toHaveLength(1);
    gate.open();
    const up = { name: 'availabilityChanged', facts: { up: true } };
    await vi.waitFor(() => expect(observer.events.at(-1)).toEqual(up), SOON);
    await upstream.getManifest(repository, latest, small, never());
    expect(registry.requests).toHaveLength(2);
  });

  it('is up again with the first answer, whatever it says', async () => {
    const { clock, registry, ask, observer, upstream } = await startDown();
    registry.faults.clear();
    registry.faults.add({ action: { respond: { status: 500 } } });
    await clock.advance(2_000);
    // A probe; being the first answer, it is not repeated.
    await ask();
    expect(observer.named('availabilityChanged').at(-1)?.facts).toEqual({ up: true });
    expect(observer.named('breakerChanged').map(({ facts }) => facts['phase'])).toEqual([
      'open',
      'half-open',
      'closed',
    ]);
    registry.faults.clear();
    await upstream.getManifest(repository, latest, small, never());
  });

  it('is not what an upstream is that refuses or limits', async () => {
    const { registry, observer, upstream } = await start();
    for (const status of [500, 404, 403, 503, 400]) {
      registry.faults.add({ action: { respond: { status } } });
      await failure(upstream.getManifest(repository, latest, { ...accept, patienceMs: 0 }, never()));
    }
    expect(observer.named('availabilityChanged')).toEqual([]);
  });
});

describe('an upstream that hangs', () => {
  it('before the headers fails in time, sooner for who has something else', async () => {
    const scene = await start();
    const { registry, upstream } = scene;
    registry.faults.add({ action: { hang: true } });
    const patient = failure(upstream.getManifest(repository, latest, accept, never()));
    await registry.received({}, 1);
    expect(await timeOut(scene, patient)).toBeLessThan(25_000);
    expect((await patient).reason).toBe('timeout');
    const impatient = failure(upstream.getManifest(repository, latest, small, never()));
    await registry.received({}, 2);
    expect(await timeOut(scene, impatient)).toBeLessThanOrEqual(10_000);
  });

  it('in a blob fails the body after 10 s without a byte', async () => {
    const scene = await start();
    const { registry, upstream } = scene;
    const digest = registry.addBlob(repository, { size: 1000, seed: 1 });
    registry.faults.add({ action: { stallAfter: { bytes: 10, gate: new Gate() } } });
    const { body } = await upstream.getBlob(repository, digest, { start: 0 }, never());
    const read = failure(body.toArray());
    const tookMs = await timeOut(scene, read);
    expect(await read).toMatchObject({ reason: 'timeout' });
    expect(tookMs).toBeGreaterThanOrEqual(10_000);
    expect(tookMs).toBeLessThanOrEqual(20_000);
  });

  it('is not blamed while the reader is the slow one', async () => {
    const { clock, registry, upstream } = await start();
    const digest = registry.addBlob(repository, { size: 32 * 1024 * 1024, seed: 1 });
    const { body } = await upstream.getBlob(repository, digest, { start: 0 }, never());
    await new Promise((resolve) => {
      body.once('readable', resolve);
    });
    while (body.readableLength < body.readableHighWaterMark) await delay(5);
    await clock.advance(600_000);
    let size = 0;
    for await (const chunk of body) size += (chunk as Buffer).length;
    expect(size).toBe(32 * 1024 * 1024);
  });

  it('in a manifest fails within 30 s in all', async () => {
    const scene = await start();
    const { registry, upstream } = scene;
    registry.faults.add({ action: { stallAfter: { bytes: 10, gate: new Gate() } } });
    const read = failure(upstream.getManifest(repository, latest, accept, never()));
    await registry.received();
    expect(await timeOut(scene, read)).toBeLessThanOrEqual(30_000);
    expect((await read).reason).toBe('timeout');
  });
});

describe('many requests at once', () => {
  it('are bounded: 64 blobs and 32 others, until their bodies are closed', async () => {
    const { registry, upstream } = await start();
    const digest = registry.addBlob(repository, { size: 1000, seed: 1 });
    const transfers = await Promise.all(
      Array.from({ length: 64 }, () => upstream.getBlob(repository, digest, { start: 0 }, never())),
    );
    const waiting = upstream.getBlob(repository, digest, { start: 0 }, never());
    // Blobs do not keep others away.
    await upstream.getManifest(repository, latest, accept, never());
    expect(await upstream.headBlob(repository, digest, never())).toBe(1000);
    expect(registry.count({ method: 'GET', path: /\/blobs\// })).toBe(64);
    transfers[0]?.body.destroy();
    await (await waiting).body.toArray();
    for (const { body } of transfers) body.destroy();
  });

  it('that wait too long fail as timeouts', async () => {
    const { clock, registry, upstream } = await start();
    const digest = registry.addBlob(repository, { size: 1000, seed: 1 });
    const transfers = await Promise.all(
      Array.from({ length: 64 }, () => upstream.getBlob(repository, digest, { start: 0 }, never())),
    );
    // Read to the end, but not closed by their takers.
    const waiting = failure(upstream.getBlob(repository, digest, { start: 0 }, never()));
    await clock.asleep();
    await clock.advance(61_000);
    expect((await waiting).reason).toBe('timeout');
    for (const { body } of transfers) body.destroy();
    await (await upstream.getBlob(repository, digest, { start: 0 }, never())).body.toArray();
  });

  it('to other repositories do not share what is wrong with one', async () => {
    const { upstream } = await start();
    await failure(upstream.getManifest(parseRepositoryName('no/such'), latest, accept, never()));
    await upstream.getManifest(repository, latest, accept, never());
  });
});
