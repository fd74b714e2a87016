import { describe, expect, it } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { OCI_MANIFEST } from '../../src/oci/media-type.ts';
import { Pace } from '../../src/upstream/pace.ts';
import { closeAfterTest } from '../support/close-after-test.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { FakeRegistry } from '../support/fake-registry.ts';
import { Gate } from '../support/gate.ts';
import {
  accept,
  failure,
  latest,
  manifestText,
  never,
  repository,
  upstreamAt,
} from './upstream-under-test.ts';

describe('a pace', () => {
  it.each([
    [1, [0, 1000, 2000, 3000]],
    [0.5, [0, 2000, 4000, 6000]],
    // A second's worth at once, then the exact interval.
    [4, [0, 0, 0, 0, 250, 500]],
  ])('of %d a second lets turns come at %j ms', async (perSecond, expected) => {
    const clock = new FakeClock();
    const pace = new Pace(clock, perSecond);
    const at: number[] = [];
    const turns = expected.map(async () => {
      await pace.turn(never());
      at.push(clock.monotonic());
    });
    // Who need not wait goes on first.
    await clock.advance(0);
    await clock.advance(10_000);
    await Promise.all(turns);
    expect(at).toEqual(expected);
  });

  it('does not save up more than a second while nobody comes', async () => {
    const clock = new FakeClock();
    const pace = new Pace(clock, 2);
    await clock.advance(60_000);
    const at: number[] = [];
    const turns = Array.from({ length: 4 }, async () => {
      await pace.turn(never());
      at.push(clock.monotonic() - 60_000);
    });
    // Who need not wait goes on first.
    await clock.advance(0);
    await clock.advance(10_000);
    await Promise.all(turns);
    expect(at).toEqual([0, 0, 500, 1000]);
  });

  it('is refused to who would wait more than 20 s, and says until when', async () => {
    const pace = new Pace(new FakeClock(), 1);
    const turns = Array.from({ length: 21 }, async () => pace.turn(never()));
    for (const turn of turns) turn.catch(() => undefined);
    const error = await failure(pace.turn(never()));
    expect([error.reason, error.retryAfterMs]).toEqual(['rate-limited', 21_000]);
  });

  it('is left when the signal aborts', async () => {
    const pace = new Pace(new FakeClock(), 1);
    await pace.turn(never());
    const controller = new AbortController();
    const waiting = failure(pace.turn(controller.signal));
    controller.abort(new Error('left'));
    expect((await waiting).message).toBe('left');
  });
});

describe('an upstream with limits', () => {
  it('is never asked by more at once than it has connections for; the others wait', async () => {
    const registry = closeAfterTest(await FakeRegistry.start());
    registry.addManifest(repository, manifestText(), OCI_MANIFEST, ['latest']);
    const digests = Array.from({ length: 8 }, (_, seed) => registry.addBlob(repository, { size: 10, seed }));
    const gate = new Gate();
    registry.faults.add({ action: { gate } });
    const upstream = upstreamAt(registry.url, { limits: { connections: 6 } });
    const blobs = digests.map(async (digest) => {
      const { body } = await upstream.getBlob(repository, digest, { start: 0 }, never());
      await body.resume().toArray();
    });
    // Two of the six are kept for what is not a blob.
    const others = Array.from({ length: 4 }, async () =>
      upstream.headManifest(repository, latest, accept, never()),
    );
    await registry.received({}, 6);
    expect(registry.count({ method: 'GET' })).toBe(4);
    expect(registry.count({ method: 'HEAD' })).toBe(2);
    expect(registry.openConnections).toBe(6);
    gate.open();
    await Promise.all([...blobs, ...others]);
  });

  it('is sent no more than so many requests a second', async () => {
    const clock = new FakeClock();
    const registry = closeAfterTest(await FakeRegistry.start({ now: () => clock.monotonic() }));
    registry.addManifest(repository, manifestText(), OCI_MANIFEST, ['latest']);
    const upstream = upstreamAt(registry.url, { limits: { requestsPerSecond: 1 } }, { clock });
    const heads = Array.from({ length: 3 }, async () =>
      upstream.headManifest(repository, latest, accept, never()),
    );
    await registry.received({}, 1);
    await heads[0];
    for (const count of [2, 3]) {
      expect(registry.requests).toHaveLength(count - 1);
      await clock.advance(1_000);
      await registry.received({}, count);
    }
    await Promise.all(heads);
  });

  it('keeps no slot busy with what waits for its turn: a HEAD goes at once', async () => {
    const clock = new FakeClock();
    const registry = closeAfterTest(await FakeRegistry.start({ now: () => clock.monotonic() }));
    const digest = registry.addManifest(repository, manifestText(), OCI_MANIFEST, ['latest']);
    const limits = { connections: 6, pullsPerSecond: 1 };
    const upstream = upstreamAt(registry.url, { limits }, { clock });
    const gets = Array.from({ length: 10 }, async () =>
      upstream.getManifest(repository, { digest }, accept, never()),
    );
    const all = Promise.all(gets);
    await upstream.headManifest(repository, latest, accept, never());
    expect(clock.monotonic()).toBe(0);
    await clock.advance(10_000);
    await all;
  });

  it('that is closed ends what waits, at once', async () => {
    const clock = new FakeClock();
    const registry = closeAfterTest(await FakeRegistry.start());
    registry.addManifest(repository, manifestText(), OCI_MANIFEST, ['latest']);
    const upstream = upstreamAt(registry.url, { limits: { pullsPerSecond: 0.1 } }, { clock });
    await upstream.getManifest(repository, latest, accept, never());
    registry.faults.add({
      match: { method: 'HEAD' },
      action: { respond: { status: 503, headers: { 'retry-after': '6' } } },
    });
    const waiting = [
      failure(upstream.getManifest(repository, latest, accept, never())),
      failure(upstream.headManifest(repository, latest, accept, never())),
    ];
    await registry.received({ method: 'HEAD' });
    await clock.asleep(2);
    await upstream.close();
    const errors = await Promise.all(waiting);
    expect(errors.map(({ message }) => message)).toEqual(Array(2).fill('the upstream client is closed'));
    expect(clock.monotonic()).toBe(0);
  });

  it('may be sent pulls more seldom than anything else', async () => {
    const clock = new FakeClock();
    const registry = closeAfterTest(await FakeRegistry.start({ now: () => clock.monotonic() }));
    const digest = registry.addManifest(repository, manifestText(), OCI_MANIFEST, ['latest']);
    const blob = registry.addBlob(repository, Buffer.from('x'));
    const upstream = upstreamAt(registry.url, { limits: { pullsPerSecond: 1 } }, { clock });
    const get = async () => upstream.getManifest(repository, { digest }, accept, never());
    await get();
    const second = get();
    for (let count = 0; count < 5; count += 1) {
      await upstream.headManifest(repository, latest, accept, never());
      expect(await upstream.headBlob(repository, blob, never())).toBe(1);
    }
    expect(registry.count({ method: 'GET' })).toBe(1);
    await clock.advance(1_000);
    await second;
    expect(digestOf(Buffer.from(manifestText()), 'sha256')).toBe(digest);
  });
});
