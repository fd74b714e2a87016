import { existsSync } from 'node:fs';
import { cp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { Activity } from '../../src/activity/activity.ts';
import type { RequestRecord } from '../../src/activity/activity-events.ts';
import { DAY_MS, KeptUsage } from '../../src/activity/kept-usage.ts';
import { UsageRows } from '../../src/activity/usage-rows.ts';
import { openLasting } from '../../src/metadata/lasting-database.ts';
import { setUsageAside } from '../../src/metadata/usage-database.ts';
import { UsageStore } from '../../src/metadata/usage-store.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { closeAfterTest } from '../support/close-after-test.ts';
import { mountedTmpfs } from '../support/mounts.ts';
import { describeWith } from '../support/programs.ts';
import { liveRequest, requestRecord } from '../support/request-record.ts';
import { tempDir } from '../support/temp-dir.ts';

const MINUTE_MS = 60_000;
const START = Date.UTC(2030, 5, 15, 12);
const TODAY = Math.floor(START / DAY_MS);
const never = new AbortController().signal;

interface Options {
  readonly clock?: FakeClock;
  readonly keepDays?: number;
  readonly isWalSafe?: boolean;
}

function start(
  dataDir: string,
  { clock = new FakeClock(START), keepDays = 400, isWalSafe = true }: Options = {},
) {
  const activity = new Activity(clock);
  const told: string[] = [];
  const usage = closeAfterTest(
    new KeptUsage({
      clock,
      take: () => activity.takeSums(),
      open: () => UsageStore.open(dataDir, { isWalSafe }),
      setAside: () => setUsageAside(dataDir),
      keepMs: keepDays * DAY_MS,
      onTrouble: (cause) => told.push(cause === undefined ? 'well again' : cause.reason),
      onSetAside: () => told.push('set aside'),
    }),
  );
  const ask = (facts: Partial<RequestRecord> = {}, count = 1) => {
    for (let at = 0; at < count; at += 1) activity.finished(liveRequest(), requestRecord(facts));
  };
  const rows = async (fromDay = 0) => {
    const found = new UsageRows();
    const first = await usage.read(found, fromDay, never);
    found.addSums(activity.sums);
    const { upstreams, images, clients } = found;
    return { upstreams, images, clients, first };
  };
  return { clock, activity, usage, told, ask, rows };
}

async function bytesOf(subject: ReturnType<typeof start>, fromDay = 0): Promise<number | undefined> {
  return (await subject.rows(fromDay)).upstreams.get('docker.io')?.bytes;
}

it('is there again after a restart, by upstream, image and client', async () => {
  const dataDir = await tempDir();
  const first = start(dataDir);
  first.ask({ bytes: 10, outcome: 'miss' }, 3);
  first.activity.upstreamBytes('docker.io', 500);
  first.activity.upstreamPull('docker.io');
  first.ask({ bytes: 7, client: '192.0.2.2', repository: 'library/other', kind: 'blob', durationMs: 2.5 });
  first.ask({ status: 503, outcome: 'none', bytes: 0 }, 2);
  const before = await first.rows();
  await first.usage.close();
  const second = start(dataDir);
  const after = await second.rows();
  expect(after).toEqual(before);
  expect(after.upstreams.get('docker.io')).toMatchObject({
    requests: 4,
    failures: 2,
    bytes: 37,
    upstreamBytes: 500,
  });
  expect(after.clients.get('192.0.2.1')).toMatchObject({ requests: 3, failures: 2 });
  expect([...after.images.keys()]).toEqual(['docker.io/library/app', 'docker.io/library/other']);
  expect([...after.clients.keys()]).toEqual(['192.0.2.1', '192.0.2.2']);
  expect(after.first).toBe(TODAY);
  second.ask({ bytes: 1 });
  expect(await bytesOf(second)).toBe(38);
});

it('a kill loses a minute at most', async () => {
  const dataDir = await tempDir();
  const killed = start(dataDir);
  killed.usage.begin();
  for (let minute = 0; minute < 3; minute += 1) {
    killed.ask({ bytes: 100 });
    await killed.clock.advance(MINUTE_MS);
    await killed.usage.write();
  }
  killed.ask({ bytes: 1 });
  // What a process that is gone leaves behind, the log of the database included.
  const left = await tempDir();
  for (const file of await readdir(dataDir)) await cp(join(dataDir, file), join(left, file));
  expect(await bytesOf(start(left))).toBe(300);
});

it('writes nothing, and makes no file, where nothing was asked', async () => {
  const dataDir = await tempDir();
  const idle = start(dataDir);
  idle.usage.begin();
  await idle.clock.advance(3 * MINUTE_MS);
  await idle.usage.close();
  expect(await readdir(dataDir)).toEqual([]);
});

it('without a write-ahead log it is kept as well', async () => {
  const dataDir = await tempDir();
  const first = start(dataDir, { isWalSafe: false });
  first.ask({ bytes: 5 });
  await first.usage.close();
  expect(await bytesOf(start(dataDir, { isWalSafe: false }))).toBe(5);
});

describe('a file that', () => {
  it.each([
    ['is no database', (path: string) => writeFile(path, Buffer.alloc(8192, 7))],
    ['is one with other tables', (path: string) => Promise.resolve(foreign(path))],
  ])('%s is moved aside, once, and begun anew', async (_, spoil) => {
    const dataDir = await tempDir();
    await spoil(join(dataDir, 'usage.sqlite'));
    const subject = start(dataDir);
    subject.ask({ bytes: 5 });
    await subject.usage.write();
    await subject.usage.write();
    expect(await bytesOf(subject)).toBe(5);
    expect(subject.told).toEqual(['set aside']);
    expect(existsSync(join(dataDir, 'usage.sqlite.damaged'))).toBe(true);
    await subject.usage.close();
    expect(await bytesOf(start(dataDir))).toBe(5);
  });

  it('turns out damaged while it is used is moved aside, and what was not written is not lost', async () => {
    const dataDir = await tempDir();
    const subject = start(dataDir, { isWalSafe: false });
    subject.ask({ bytes: 5 });
    await subject.usage.write();
    const { size } = await stat(join(dataDir, 'usage.sqlite'));
    await writeFile(join(dataDir, 'usage.sqlite'), Buffer.alloc(size, 0xff));
    subject.ask({ bytes: 3 });
    await subject.usage.close();
    const again = start(dataDir, { isWalSafe: false });
    // Either the pages in memory were good enough to go on, or it was begun anew with what was not written yet.
    expect([3, undefined]).toContain(await bytesOf(again));
    again.ask({ bytes: 4 });
    await again.usage.write();
    expect(await bytesOf(again)).toBeGreaterThanOrEqual(4);
  });

  it('was written by a newer entrepot is left alone, and what is asked stays in memory', async () => {
    const dataDir = await tempDir();
    const newer = openLasting(join(dataDir, 'usage.sqlite'));
    newer.exec('PRAGMA user_version = 99');
    newer.close();
    const { size } = await stat(join(dataDir, 'usage.sqlite'));
    const subject = start(dataDir);
    subject.ask({ bytes: 5 });
    await subject.usage.write();
    await subject.usage.write();
    expect(await bytesOf(subject)).toBe(5);
    expect(subject.told).toEqual(['newer']);
    await subject.usage.close();
    expect((await stat(join(dataDir, 'usage.sqlite'))).size).toBe(size);
  });
});

function foreign(path: string): void {
  const database = openLasting(path);
  database.exec('CREATE TABLE named_usage (a); PRAGMA user_version = 1');
  database.close();
}

it('a directory that cannot be written is said once, tried again rarely, and nothing is lost', async () => {
  const dataDir = join(await tempDir(), 'gone');
  const subject = start(dataDir);
  subject.usage.begin();
  for (let minute = 0; minute < 5; minute += 1) {
    subject.ask({ bytes: 100 });
    await subject.clock.advance(MINUTE_MS);
  }
  expect(subject.told).toEqual(['failed']);
  await cp(await tempDir(), dataDir, { recursive: true });
  await subject.clock.advance(11 * MINUTE_MS);
  await subject.usage.write();
  expect(await bytesOf(subject)).toBe(500);
  expect(subject.told).toEqual(['failed', 'well again']);
});

describeWith({ programs: ['mount', 'umount'], root: true, mounts: ['tmpfs'] }, 'a full disk', () => {
  it('loses nothing of what was asked, and it is written when there is room', async () => {
    const dataDir = await mountedTmpfs('size=256k');
    const subject = start(dataDir);
    subject.ask({ bytes: 1 });
    await subject.usage.write();
    // Rows until there is room for no more, then the rest of the disk.
    await writeFile(join(dataDir, 'filler'), Buffer.alloc(1024 * 1024)).catch(() => undefined);
    for (let at = 0; at < 3000; at += 1)
      subject.ask({ repository: `library/${'x'.repeat(100)}${at}`, client: `client ${at}`, bytes: 1 });
    await subject.usage.write();
    expect(subject.told).toEqual(['full']);
    subject.ask({ bytes: 1 });
    expect(await bytesOf(subject)).toBe(3002);
    await rm(join(dataDir, 'filler'));
    const roomier = await tempDir();
    await subject.usage.write();
    await cp(dataDir, roomier, { recursive: true });
    expect(await bytesOf(subject)).toBe(3002);
  });
});

describe('rows of a day', () => {
  it('are bounded: the largest are kept, the others counted together, and no byte is lost', async () => {
    const dataDir = await tempDir();
    const subject = start(dataDir);
    for (let round = 0; round < 4; round += 1) {
      for (let at = 0; at < 4000; at += 1)
        subject.ask({ repository: `r${round}-${at}`, client: `c${round}-${at}`, bytes: 1 });
      subject.ask({ repository: 'large', client: 'large', bytes: 1_000_000 });
      await subject.usage.write();
    }
    const { images, clients } = await subject.rows();
    expect([sum(images), sum(clients)]).toEqual([4_016_000, 4_016_000]);
    expect([images.get('docker.io/large')?.bytes, clients.get('large')?.bytes]).toEqual([
      4_000_000, 4_000_000,
    ]);
    expect(images.size).toBeLessThan(10_100);
    expect(clients.size).toBeLessThan(4100);
    expect([images.get('docker.io/')?.bytes, clients.get('')?.bytes]).not.toContain(undefined);
  });

  it('are fewer when the day is long over', async () => {
    const dataDir = await tempDir();
    const subject = start(dataDir);
    for (let at = 0; at < 3000; at += 1) subject.ask({ repository: `r${at}`, client: `c${at}`, bytes: 1 });
    await subject.usage.write();
    subject.usage.begin();
    await subject.clock.advance(2 * 3_600_000);
    expect((await subject.rows()).images.size).toBe(3000);
    subject.clock.setWall(START + 40 * DAY_MS);
    await subject.clock.advance(2 * 3_600_000);
    await subject.usage.write();
    const { images, clients, upstreams } = await subject.rows();
    expect([images.size, clients.size]).toEqual([1001, 501]);
    expect(upstreams.get('docker.io')?.bytes).toBe(3000);
  });
});

describe('what is older than it is to be kept', () => {
  it('is forgotten', async () => {
    const subject = await withOld(99);
    expect(await bytesOf(subject)).toBe(1200);
    expect(await bytesOf(subject, TODAY - 1)).toBe(600);
    subject.usage.begin();
    await subject.clock.advance(61 * MINUTE_MS);
    await subject.usage.write();
    expect(await bytesOf(subject)).toBe(600);
    expect((await subject.rows()).first).toBe(TODAY - 1);
  });

  it('is not forgotten for a clock that has just jumped, and not before that has run for an hour', async () => {
    const subject = await withOld(99);
    subject.usage.begin();
    await subject.clock.advance(30 * MINUTE_MS);
    subject.clock.setWall(START + 2 * 365 * DAY_MS);
    await subject.clock.advance(59 * MINUTE_MS);
    subject.clock.setWall(START);
    await subject.clock.advance(59 * MINUTE_MS);
    await subject.usage.write();
    expect(await bytesOf(subject)).toBe(1200);
    await subject.clock.advance(2 * MINUTE_MS);
    await subject.usage.write();
    expect(await bytesOf(subject)).toBe(600);
  });
});

async function withOld(keepDays: number) {
  const dataDir = await tempDir();
  for (const age of [500, 100, 1, 0]) {
    const subject = start(dataDir, { clock: new FakeClock(START - age * DAY_MS) });
    subject.ask({ bytes: 1 }, 300);
    await subject.usage.close();
  }
  return start(dataDir, { keepDays });
}

function sum(rows: ReadonlyMap<string, { readonly bytes: number }>): number {
  return [...rows.values()].reduce((all, { bytes }) => all + bytes, 0);
}
