import { Writable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { TransferRate } from '../../src/commands/transfer-rate.ts';
import { openWarmDisplay } from '../../src/commands/warm-display.ts';
import { durationText } from '../../src/commands/warm-text.ts';
import type { WarmEvent } from '../../src/warm/warm-events.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { fakeProcess } from '../support/fake-process.ts';

const MIB = 2 ** 20;
const NONE = { present: 0, fetched: 0, failed: 0 };

function progress(doneBytes: number, totalBytes: number): WarmEvent {
  return {
    event: 'progress',
    images: { done: 1, failed: 0, total: 3 },
    blobs: { done: 2, total: 9 },
    presentBytes: 0,
    fetchedBytes: doneBytes,
    totalBytes,
    active: [{ image: 'docker.io/library/app:v2', doneBytes, totalBytes }],
  };
}

const FAILED: WarmEvent = {
  event: 'failed',
  image: 'docker.io/library/app:typo',
  place: 'images.txt:3',
  reason: 'not-found',
  message: 'it is not there',
};
const WAITING: WarmEvent = {
  event: 'waiting',
  upstream: 'docker.io',
  why: 'reserve',
  untilMs: Date.UTC(2030, 0, 1, 12, 30, 15),
  remaining: 9,
  limit: 100,
  reserve: 10,
};

function done(more: Partial<Extract<WarmEvent, { event: 'done' }>> = {}): WarmEvent {
  return {
    event: 'done',
    dryRun: false,
    images: { total: 3, whole: 2, failed: 1 },
    manifests: { ...NONE, fetched: 4 },
    blobs: { ...NONE, fetched: 12, present: 3 },
    presentBytes: 5 * MIB,
    fetchedBytes: 20 * MIB,
    failures: [{ reason: 'not-found', count: 1 }],
    pulls: [{ upstream: 'docker.io', pulls: 4, remaining: 96, limit: 100 }],
    atLeast: false,
    ms: 12_000,
    ...more,
  };
}

class Terminal extends Writable {
  readonly isTTY = true;
  readonly columns = 120;
  text = '';

  override _write(chunk: Buffer, _encoding: string, written: () => void): void {
    this.text += chunk.toString();
    written();
  }
}

describe('what a person is shown of warming', () => {
  it('without a terminal is plain lines, and a summary on standard output', async () => {
    const said = await fakeProcess();
    const { io } = said;
    const display = await openWarmDisplay(io, { isJson: false });
    display.problem({ place: 'images.txt:2', message: 'App:v1: accepted is …' });
    for (const event of [
      { event: 'begun', images: 3, dryRun: false } as const,
      { event: 'selected', repository: 'docker.io/library/app', tags: 2, of: 40 } as const,
      progress(MIB, 20 * MIB),
      FAILED,
      WAITING,
      { event: 'resumed', upstream: 'docker.io' } as const,
      done(),
    ])
      display.event(event);
    display.end();
    const until = new Date(Date.UTC(2030, 0, 1, 12, 30, 15)).toTimeString().slice(0, 8);
    expect(said.stderr().split('\n')).toEqual([
      'images.txt:2: App:v1: accepted is …',
      'docker.io/library/app: 2 of 40 tags',
      'docker.io/library/app:typo (images.txt:3): it is not there [not-found]',
      `docker.io: 9 of 100 pulls are left, and 10 are kept for clients; waits until ${until}`,
      'docker.io: goes on',
      '',
    ]);
    expect(said.stdout()).toBe(
      [
        '2 of 3 images are in the cache: 4 manifests and 12 blobs fetched, 20.0 MiB in 12 s; 5.0 MiB were here.',
        'docker.io: took 4 pulls; 96 of 100 pulls are left.',
        'Failed: 2 images (1 not-found, 1 not to be read).',
        '  docker.io/library/app:typo (images.txt:3): it is not there [not-found]',
        '',
      ].join('\n'),
    );
  });

  it('lists no more failures than a person reads', async () => {
    const said = await fakeProcess();
    const display = await openWarmDisplay(said.io, { isJson: false });
    for (let count = 0; count < 1200; count += 1) display.event(FAILED);
    display.event(done({ images: { total: 1200, whole: 0, failed: 1200 } }));
    const lines = said.stdout().trimEnd().split('\n');
    expect(lines).toHaveLength(3 + 50 + 1);
    expect(lines.at(-1)).toBe('  and 1,150 more');
  });

  it('of a dry run is what is missing, at least where that is not known', async () => {
    const said = await fakeProcess();
    const { io } = said;
    const display = await openWarmDisplay(io, { isJson: false });
    const whole = { images: { total: 3, whole: 3, failed: 0 }, failures: [], dryRun: true };
    display.event(done({ ...whole, atLeast: true }));
    display.event(done({ ...whole, manifests: NONE, blobs: NONE, fetchedBytes: 0, pulls: [] }));
    expect(said.stdout()).toBe(
      [
        'Of 3 images missing are at least 4 manifests and 12 blobs, 20.0 MiB; 5.0 MiB are here. Nothing was fetched.',
        'docker.io: would take 4 pulls; 96 of 100 pulls are left.',
        'Of 3 images nothing is missing; 5.0 MiB are here. Nothing was fetched.',
        '',
      ].join('\n'),
    );
  });

  it('at a terminal is bars, of all and of each image under way, with lines above them', async () => {
    const terminal = new Terminal();
    const said = await fakeProcess();
    const { io } = said;
    const display = await openWarmDisplay({ ...io, terminal }, { isJson: false });
    display.event(progress(5 * MIB, 20 * MIB));
    display.event(FAILED);
    display.event(WAITING);
    display.event(progress(10 * MIB, 20 * MIB));
    display.event(done());
    display.end();
    expect(said.stderr()).toBe('');
    expect(terminal.text).toContain('docker.io/library/app:v2 10.0 MiB of 20.0 MiB');
    expect(terminal.text).toContain(
      'docker.io/library/app:typo (images.txt:3): it is not there [not-found]\n',
    );
    expect(terminal.text).toMatch(/50% 1 of 3 images, 10\.0 MiB of 20\.0 MiB, waits for docker\.io until/);
    expect(said.stdout()).toContain('2 of 3 images are in the cache');
  });

  it('at a terminal without anything under way leaves it as it was', async () => {
    const terminal = new Terminal();
    const said = await fakeProcess();
    const display = await openWarmDisplay({ ...said.io, terminal }, { isJson: false });
    display.event(FAILED);
    display.end();
    expect(terminal.text).toBe('docker.io/library/app:typo (images.txt:3): it is not there [not-found]\n');
  });

  it('as JSON is every event, a line each, and nothing else', async () => {
    const said = await fakeProcess();
    const { io } = said;
    const display = await openWarmDisplay({ ...io, terminal: new Terminal() }, { isJson: true });
    display.problem({ place: 'argument', message: 'no' });
    display.event(FAILED);
    display.event(done());
    display.end();
    const lines = said.stdout().trimEnd().split('\n');
    expect(lines.map((line) => (JSON.parse(line) as WarmEvent).event)).toEqual(['problem', 'failed', 'done']);
    expect(said.stderr()).toBe('');
  });
});

describe('a rate', () => {
  it('is that of the last seconds, and none while nothing came', async () => {
    const clock = new FakeClock();
    const rate = new TransferRate(clock);
    expect(rate.perSecond).toBe(0);
    rate.add(0);
    expect(rate.perSecond).toBe(0);
    await clock.advance(1000);
    rate.add(3000);
    expect(rate.perSecond).toBe(3000);
    await clock.advance(9000);
    rate.add(3000);
    expect(rate.perSecond).toBe(0);
  });

  it.each([
    [0.2, '1 s'],
    [59, '59 s'],
    [150, '3 min'],
    [7500, '2 h 5 min'],
  ])('and %d seconds are %s', (seconds, text) => {
    expect(durationText(seconds)).toBe(text);
  });
});
