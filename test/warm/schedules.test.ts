import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { expect, onTestFinished, test } from 'vitest';
import { StoreOperationError } from '../../src/cache/store-operation-error.ts';
import type { WarmSchedule } from '../../src/config.ts';
import { parseImageName } from '../../src/oci/image-reference.ts';
import type { ScheduleObserver } from '../../src/warm/schedule-observer.ts';
import { Schedules } from '../../src/warm/schedules.ts';
import type { WarmEvent } from '../../src/warm/warm-events.ts';
import type { WarmOperations, WarmRequest } from '../../src/warm/warm-operations.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { Gate } from '../support/gate.ts';
import { tempDir } from '../support/temp-dir.ts';

const upstreams = [{ name: 'docker.io', default: true, profile: { hubNames: true } }];
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const MIDNIGHT = Date.UTC(2030, 0, 1);
const tally = { present: 0, fetched: 0, failed: 0 };

function image(text: string) {
  const name = parseImageName(text, upstreams);
  if ('problem' in name) throw new Error(name.problem);
  return name;
}

function schedule(more: Partial<WarmSchedule> = {}): WarmSchedule {
  const images = [image('nginx:1')];
  return {
    name: 'nightly',
    cron: '0 3 * * *',
    timezone: 'UTC',
    images,
    from: [],
    platforms: [],
    withReferrers: false,
    ...more,
  };
}

function done(total: number, failed = 0): WarmEvent {
  const images = { total, whole: total - failed, failed };
  const counts = { manifests: tally, blobs: tally, presentBytes: 0, fetchedBytes: 70 };
  return { event: 'done', dryRun: false, images, ...counts, failures: [], pulls: [], atLeast: false, ms: 1 };
}

interface Scene {
  readonly clock: FakeClock;
  readonly subject: Schedules;
  readonly requests: WarmRequest[];
  /** What observers were told, in short. */
  readonly told: string[];
}

/** `work`: what warming does when it is asked; default: all is done at once. */
function begin(schedules: readonly WarmSchedule[], work?: WarmOperations['warm']): Scene {
  const clock = new FakeClock(MIDNIGHT);
  const requests: WarmRequest[] = [];
  const told: string[] = [];
  const tell = (what: string) => (name: string, about?: unknown) =>
    void told.push(
      `${new Date(clock.now()).toISOString().slice(5, 16)} ${name} ${what} ${textOf(about)}`.trim(),
    );
  const observer: ScheduleObserver = {
    due: () => undefined,
    missing: tell('missing'),
    begun: tell('begun'),
    problem: tell('problem'),
    imageFailed: tell('failed'),
    waiting: tell('waiting'),
    ended: tell('ended'),
    unexpected: tell('unexpected'),
  };
  const warming: WarmOperations = {
    async *warm(request, signal) {
      requests.push(request);
      if (work === undefined) yield done(request.targets.length);
      else yield* work(request, signal);
    },
  };
  const subject = new Schedules(schedules, { warming, upstreams, clock, observer });
  onTestFinished(() => subject.close());
  subject.begin();
  return { clock, subject, requests, told };
}

function textOf(about: unknown): string {
  if (typeof about !== 'object' || about === null) return '';
  if (about instanceof Error) return about.message;
  const { outcome, message, upstream } = about as Record<string, unknown>;
  return String(outcome ?? message ?? upstream);
}

/** In steps, as time goes. What runs comes to its end before time goes on, unless it is held up. */
async function pass({ clock, subject }: Scene, ms: number, { isHeldUp = false } = {}): Promise<void> {
  await clock.asleep();
  for (let left = ms; left > 0; left -= MINUTE) {
    await clock.advance(Math.min(left, MINUTE));
    for (let turn = 0; turn < 20; turn += 1) await nextTurn();
    if (!isHeldUp)
      await expect.poll(() => subject.states.some(({ isRunning }) => isRunning), { interval: 1 }).toBe(false);
  }
}

test('a schedule runs when it is due, with what it names, and says when it is due next', async () => {
  const directory = await tempDir();
  const list = join(directory, 'list.txt');
  await writeFile(list, 'redis\nnginx:1\n');
  const options = {
    platforms: [{ os: 'linux', architecture: 'amd64' }],
    withReferrers: true,
    concurrency: 2,
  };
  const scene = begin([schedule({ from: [list], tags: '^7', ...options })]);
  await pass(scene, 2 * HOUR);
  expect(scene.told).toEqual([]);
  expect(scene.subject.states).toEqual([{ name: 'nightly', isRunning: false, nextAt: MIDNIGHT + 3 * HOUR }]);
  await writeFile(list, 'redis\nnginx:1\nbusybox:1@sha256:' + 'a'.repeat(64) + '\n');
  await pass(scene, HOUR + MINUTE);
  expect(scene.told).toEqual(['01-01T03:00 nightly begun', '01-01T03:00 nightly ended done']);
  const named = (repository: string, place?: string) => ({
    upstream: 'docker.io',
    repository: `library/${repository}`,
    ...(place !== undefined && { place: `${list}:${place}` }),
  });
  expect(scene.requests).toEqual([
    {
      targets: [
        { ...named('nginx', '2'), reference: { tag: '1' } },
        { ...named('redis', '1'), tags: '^7' },
        { ...named('busybox', '3'), reference: { digest: `sha256:${'a'.repeat(64)}` } },
      ],
      ...options,
      dryRun: false,
    },
  ]);
  const at = MIDNIGHT + 3 * HOUR;
  expect(scene.subject.states).toEqual([
    {
      name: 'nightly',
      isRunning: false,
      nextAt: at + 24 * HOUR,
      last: { begunAt: at, endedAt: at, outcome: 'done', images: 3, failedImages: 0, fetchedBytes: 70 },
    },
  ]);
});

test('hours are those of its time zone', async () => {
  const scene = begin([schedule({ timezone: 'America/New_York' })]);
  await scene.clock.asleep();
  expect(scene.subject.states[0]?.nextAt).toBe(MIDNIGHT + 8 * HOUR);
});

test('a run that takes long is never joined by another one, and what came due meanwhile is left out', async () => {
  const gate = new Gate();
  const scene = begin(
    [schedule({ cron: '0 * * * *' }), schedule({ name: 'other', cron: '30 2 * * *' })],
    async function* (request) {
      if (scene.requests.length === 1) await gate.pass();
      yield done(request.targets.length);
    },
  );
  await pass(scene, 3 * HOUR + 10 * MINUTE, { isHeldUp: true });
  expect(scene.told).toEqual([
    '01-01T01:00 nightly begun',
    // Another schedule does not wait for it.
    '01-01T02:30 other begun',
    '01-01T02:30 other ended done',
  ]);
  expect(scene.subject.states[0]).toMatchObject({ isRunning: true });
  gate.open();
  await pass(scene, HOUR);
  expect(scene.told.slice(3)).toEqual([
    '01-01T03:10 nightly ended done',
    '01-01T04:00 nightly begun',
    '01-01T04:00 nightly ended done',
  ]);
});

test('what came due while the machine slept is made up for once; a clock that is set back repeats nothing', async () => {
  const scene = begin([schedule({ cron: '0 * * * *' })]);
  await scene.clock.asleep();
  scene.clock.setWall(MIDNIGHT + 5 * HOUR + 20 * MINUTE);
  await pass(scene, 2 * MINUTE);
  expect(scene.requests).toHaveLength(1);
  expect(scene.subject.states[0]?.nextAt).toBe(MIDNIGHT + 6 * HOUR);
  await pass(scene, 40 * MINUTE);
  expect(scene.requests).toHaveLength(2);
  scene.clock.setWall(MIDNIGHT + 5 * HOUR + 59 * MINUTE);
  await pass(scene, 5 * MINUTE);
  expect(scene.requests).toHaveLength(2);
});

test('a file that is missing is told at the start and fails the run, and the rest is warmed', async () => {
  const directory = await tempDir();
  const list = join(directory, 'list.txt');
  const scene = begin([schedule({ from: [list] })]);
  await pass(scene, 4 * HOUR);
  expect(scene.told).toEqual([
    '01-01T00:00 nightly missing there is no such file or directory',
    '01-01T03:00 nightly begun',
    '01-01T03:00 nightly problem there is no such file or directory',
    '01-01T03:00 nightly ended failed',
  ]);
  expect(scene.requests.map(({ targets }) => targets.length)).toEqual([1]);
  const problem = `${list}: there is no such file or directory`;
  expect(scene.subject.states[0]?.last).toMatchObject({
    outcome: 'failed',
    images: 1,
    failedImages: 0,
    problem,
  });
  await writeFile(list, 'redis\n');
  await pass(scene, 24 * HOUR);
  expect(scene.told.slice(4)).toEqual(['01-02T03:00 nightly begun', '01-02T03:00 nightly ended done']);
  expect(scene.subject.states[0]?.last?.problem).toBeUndefined();
  await rm(list);
  await mkdir(list);
  await pass(scene, 24 * HOUR);
  expect(scene.subject.states[0]?.last?.problem).toBe(`${list}: there is no image in it`);
});

test('variables of the environment are not there for the files of a server', async () => {
  const directory = await tempDir();
  const file = join(directory, 'compose.yaml');
  await writeFile(file, 'services: {a: {image: "a:${PATH}"}, b: {image: "b:${TAG}"}}\n');
  await writeFile(join(directory, '.env'), 'TAG=1\n');
  const scene = begin([schedule({ from: [file] })]);
  await pass(scene, 4 * HOUR);
  expect(scene.requests[0]?.targets.map(({ repository }) => repository)).toEqual([
    'library/nginx',
    'library/b',
  ]);
  expect(scene.subject.states[0]?.last?.problem).toContain('PATH is not set');
});

test('images that fail, and what cannot be begun at all, are failed runs; the next one comes', async () => {
  const faults = [new StoreOperationError('failed', 'no way'), new TypeError('a bug')];
  const failure = {
    event: 'failed',
    image: 'docker.io/library/nginx:1',
    reason: 'not-found',
    message: 'gone',
  } as const;
  const scene = begin([schedule({ cron: '0 * * * *' })], async function* () {
    const fault = faults.shift();
    if (fault !== undefined) throw fault;
    yield { event: 'waiting', upstream: 'docker.io', why: 'reserve', untilMs: MIDNIGHT + 9 * HOUR };
    await scene.clock.sleep(10 * MINUTE);
    yield { event: 'resumed', upstream: 'docker.io' };
    for (let nth = 0; nth < 50; nth += 1) yield failure;
    yield done(1, 1);
  });
  const problems: (string | undefined)[] = [];
  for (let hour = 0; hour < 2; hour += 1) {
    await pass(scene, HOUR);
    problems.push(scene.subject.states[0]?.last?.problem);
  }
  await pass(scene, HOUR + 5 * MINUTE, { isHeldUp: true });
  expect(scene.subject.states[0]).toMatchObject({ isRunning: true, waitingUntil: MIDNIGHT + 9 * HOUR });
  await pass(scene, 10 * MINUTE, { isHeldUp: true });
  problems.push(scene.subject.states[0]?.last?.problem);
  expect(scene.subject.states[0]?.waitingUntil).toBeUndefined();
  expect(problems).toEqual(['no way', 'an unexpected error', 'docker.io/library/nginx:1: gone']);
  expect(scene.told.filter((line) => line.includes('ended')).map((line) => line.slice(12))).toEqual(
    Array.from({ length: 3 }, () => 'nightly ended failed'),
  );
  expect(scene.told.filter((line) => line.includes(' failed gone'))).toHaveLength(20);
  expect(scene.told.filter((line) => line.includes('unexpected'))).toHaveLength(2);
});

test('a run that hangs is ended after a day', async () => {
  const scene = begin([schedule()], async function* (_request, signal) {
    await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error)));
    yield done(1);
  });
  await pass(scene, 3 * HOUR + MINUTE, { isHeldUp: true });
  expect(scene.subject.states[0]?.isRunning).toBe(true);
  await pass(scene, 24 * HOUR, { isHeldUp: true });
  expect(scene.subject.states[0]?.last).toMatchObject({
    outcome: 'failed',
    problem: 'it ran for too long, and was ended',
  });
  expect(scene.subject.states[0]?.nextAt).toBe(MIDNIGHT + 51 * HOUR);
});

test('closing ends what runs, without calling it failed', async () => {
  let isEnded = false;
  const scene = begin([schedule()], async function* (_request, signal) {
    try {
      await new Promise((_, reject) =>
        signal.addEventListener('abort', () => reject(signal.reason as Error)),
      );
      yield done(1);
    } finally {
      isEnded = true;
    }
  });
  await pass(scene, 3 * HOUR + MINUTE, { isHeldUp: true });
  await scene.subject.close();
  expect(isEnded).toBe(true);
  expect(scene.told).toEqual(['01-01T03:00 nightly begun']);
  expect(scene.clock.sleeping).toBe(0);
});

test('another configuration leaves what is the same due when it was, and takes up what is other', async () => {
  const scene = begin([schedule(), schedule({ name: 'other', cron: '0 5 * * *' })]);
  await pass(scene, HOUR);
  const changed = schedule({ name: 'other', cron: '0 2 * * *' });
  scene.subject.configure([schedule(), changed, schedule({ name: 'new', cron: '30 2 * * *' })]);
  await pass(scene, 3 * HOUR);
  expect(scene.told.filter((line) => line.endsWith('begun'))).toEqual([
    '01-01T02:00 other begun',
    '01-01T02:30 new begun',
    '01-01T03:00 nightly begun',
  ]);
  expect(scene.subject.states.map(({ name }) => name)).toEqual(['nightly', 'other', 'new']);
  scene.subject.configure([changed]);
  await pass(scene, 24 * HOUR);
  expect(scene.told.filter((line) => line.endsWith('begun')).slice(3)).toEqual(['01-02T02:00 other begun']);
  expect(scene.subject.states.map(({ name }) => name)).toEqual(['other']);
  expect(scene.clock.sleeping).toBe(1);
});

test('a run goes on to its end when its schedule is other or gone, and never runs twice at once', async () => {
  const gate = new Gate();
  const scene = begin([schedule()], async function* (request, signal) {
    await gate.pass(signal);
    yield done(request.targets.length);
  });
  await pass(scene, 3 * HOUR, { isHeldUp: true });
  scene.subject.configure([]);
  expect(scene.subject.states).toMatchObject([{ name: 'nightly', isRunning: true, nextAt: undefined }]);
  // It comes back while it runs, and would be due.
  scene.subject.configure([schedule({ cron: '5 3 * * *', images: [image('redis:7')] })]);
  await pass(scene, 10 * MINUTE, { isHeldUp: true });
  expect(gate.waiting).toBe(1);
  gate.open();
  await expect.poll(() => scene.subject.states[0]?.isRunning).toBe(false);
  await pass(scene, 24 * HOUR);
  expect(scene.told).toEqual([
    '01-01T03:00 nightly begun',
    '01-01T03:10 nightly ended done',
    '01-02T03:05 nightly begun',
    '01-02T03:05 nightly ended done',
  ]);
  expect(scene.requests.map(({ targets }) => targets.length)).toEqual([1, 1]);
});

test('a schedule that is gone while it runs is forgotten with the end of its run', async () => {
  const gate = new Gate();
  const scene = begin([schedule()], async function* (request, signal) {
    await gate.pass(signal);
    yield done(request.targets.length);
  });
  await pass(scene, 3 * HOUR, { isHeldUp: true });
  scene.subject.configure([]);
  gate.open();
  await expect.poll(() => scene.subject.states).toEqual([]);
  await scene.subject.close();
  expect(scene.clock.sleeping).toBe(0);
});
