import { describe, expect, it, onTestFinished } from 'vitest';
import { type ConditionChange, StoreCondition, troubleOf } from '../../src/cache/store-condition.ts';
import { contentErrorFrom } from '../../src/content/content-error.ts';
import { MetadataError } from '../../src/metadata/metadata-error.ts';
import { digestOf } from '../../src/oci/digest.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { Gate } from '../support/gate.ts';
import { startStore } from './store-under-test.ts';

function failure(code: string): Error {
  return Object.assign(new Error(code), { code });
}

function start() {
  const clock = new FakeClock();
  const changes: ConditionChange[] = [];
  const disk: { broken: Error | undefined; probes: number; gate?: Gate } = { broken: undefined, probes: 0 };
  const condition = new StoreCondition({
    clock,
    onChange: (change) => void changes.push(change),
    probe: async () => {
      disk.probes += 1;
      await disk.gate?.pass();
      if (disk.broken !== undefined) throw disk.broken;
    },
  });
  onTestFinished(() => condition.close());
  return { clock, changes, disk, condition };
}

describe.each([
  ['ENOSPC', 'disk-full'],
  ['EFBIG', 'disk-full'],
  ['EDQUOT', 'quota'],
  ['EROFS', 'read-only'],
  ['EACCES', 'read-only'],
  ['EMFILE', 'exhausted'],
  ['ENFILE', 'exhausted'],
  ['EIO', 'io'],
  ['EWHATEVER', 'io'],
])('%s', (code, reason) => {
  it(`at a write is trouble, ${reason}: nothing is stored until a probe succeeds, and it is told twice`, async () => {
    const store = await startStore();
    const bytes = Buffer.from('some content');
    const digest = digestOf(bytes);
    store.fileSystem.rule = (name) => (name === 'write' || name === 'open' ? code : undefined);
    expect(await store.cache.put(digest, bytes)).toBe(false);
    expect(store.changes).toEqual([reason]);
    expect(store.cache.condition.report).toEqual({ isSound: false, reason, since: store.clock.now() });
    const { length } = store.fileSystem.calls;
    expect(store.cache.canHold(1, 'docker.io')).toBe(false);
    expect(await store.cache.put(digest, bytes)).toBe(false);
    expect(await store.cache.reserve(1, undefined)).toBeUndefined();
    expect(store.fileSystem.calls.slice(length).map(({ name }) => name)).not.toContain('open');
    await store.clock.advance(5000);
    await expect.poll(() => store.fileSystem.calls.slice(length).map(({ name }) => name)).toContain('open');
    expect(store.changes).toEqual([reason]);
    store.fileSystem.rule = () => undefined;
    await expect
      .poll(async () => {
        await store.clock.advance(5000);
        return store.changes;
      })
      .toEqual([reason, 'sound']);
    expect(await store.cache.put(digest, bytes)).toBe(true);
  });
});

it.each([
  ['SQLITE_FULL', 'disk-full'],
  ['SQLITE_READONLY_DBMOVED', 'read-only'],
  ['SQLITE_IOERR_WRITE', 'io'],
  ['SQLITE_NOMEM', 'exhausted'],
  ['SQLITE_BUSY', 'index'],
])('%s of the index is %s', (code, reason) => {
  expect(troubleOf(new MetadataError('failed', 'it failed', { cause: failure(code) }))).toBe(reason);
});

it('what has no code is told by its kind', () => {
  expect(troubleOf(new MetadataError('failed', 'it failed'))).toBe('index');
  expect(troubleOf(contentErrorFrom(failure('EDQUOT'), 'storing'))).toBe('quota');
  expect(troubleOf('odd')).toBe('io');
});

describe('trouble', () => {
  it('is tried out every five seconds, by one probe at a time, until it is over', async () => {
    const { clock, changes, disk, condition } = start();
    disk.broken = failure('ENOSPC');
    condition.failed(disk.broken);
    condition.failed(failure('EIO'));
    await clock.advance(4999);
    expect(disk.probes).toBe(0);
    await clock.advance(1);
    expect(disk.probes).toBe(1);
    disk.gate = new Gate();
    await clock.advance(5000);
    const checks = [condition.check(), condition.check()];
    expect(disk.probes).toBe(2);
    disk.gate.open();
    for (const check of checks) await expect(check).rejects.toThrow(/disk-full, for 10 s/);
    disk.broken = undefined;
    await clock.advance(5000);
    expect(condition.report).toEqual({ isSound: true });
    expect(changes).toEqual([
      { isSound: false, reason: 'disk-full', cause: expect.any(Error) },
      { isSound: true, reason: 'disk-full', lastedMs: 15_000 },
    ]);
    await clock.advance(60_000);
    expect(disk.probes).toBe(3);
  });

  it('that turns into another is told as that', async () => {
    const { clock, changes, disk, condition } = start();
    disk.broken = failure('EROFS');
    condition.failed(failure('EIO'));
    await clock.advance(10_000);
    expect(changes.map((change) => !change.isSound && change.reason)).toEqual(['io', 'read-only']);
  });

  it('that comes back at once is tried out more and more rarely, a minute at most', async () => {
    const { clock, disk, condition } = start();
    const waits: (number | undefined)[] = [];
    const troubles = async (afterMs: number) => {
      for (let relapse = 0; relapse < 6; relapse += 1) {
        condition.failed(failure('ENOSPC'));
        waits.push(clock.nextWakeMs);
        await condition.check();
        await clock.advance(afterMs);
      }
      return waits.splice(0);
    };
    expect(await troubles(30_000)).toEqual([5000, 5000, 5000, 5000, 5000, 5000]);
    expect(await troubles(1000)).toEqual([5000, 10_000, 20_000, 40_000, 60_000, 60_000]);
    expect(disk.probes).toBe(12);
  });

  it('that a check finds begins with it', async () => {
    const { changes, disk, condition } = start();
    await condition.check();
    disk.broken = failure('EROFS');
    await expect(condition.check()).rejects.toThrow('EROFS');
    expect(changes).toHaveLength(1);
    expect(condition.isSound).toBe(false);
  });
});
