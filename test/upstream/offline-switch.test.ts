import { describe, expect, it, onTestFinished } from 'vitest';
import { OFFLINE_LIMIT_MS, type OfflineState, OfflineSwitch } from '../../src/upstream/offline-switch.ts';
import { FakeClock } from '../support/fake-clock.ts';

const MINUTE_MS = 60_000;
const BEGIN = Date.UTC(2030, 0, 1);

function make(configured: Readonly<Record<string, boolean>> = { 'docker.io': false, 'quay.io': false }) {
  const clock = new FakeClock(BEGIN);
  const changes: (readonly OfflineState[])[] = [];
  const upstreams = Object.entries(configured).map(([name, isOffline]) => ({ name, isOffline }));
  const onChange = (changed: readonly OfflineState[]) => void changes.push(changed);
  const offline = new OfflineSwitch({ clock, upstreams, onChange });
  onTestFinished(() => offline.close());
  const now = () => offline.states.map(({ isOffline }) => isOffline);
  return { clock, offline, changes, now };
}

describe('the switch', () => {
  it('stands as the configuration says, upstream by upstream', () => {
    const { offline, now } = make({ 'docker.io': true, 'quay.io': false });
    expect(now()).toEqual([true, false]);
    expect([offline.isOffline('docker.io'), offline.isOffline('quay.io')]).toEqual([true, false]);
    expect(offline.gate('docker.io').refusal).toMatchObject({
      reason: 'offline',
      message: 'not in the cache, and docker.io is not asked: entrepot is offline',
    });
    expect(offline.gate('quay.io').refusal).toBeUndefined();
    expect(() => offline.gate('ghcr.io')).toThrow('there is no upstream ghcr.io');
  });

  it('turns all upstreams, or those that are named, and tells of each change once', () => {
    const { offline, changes, now } = make();
    offline.set({ isOffline: true, upstreams: ['quay.io', 'unknown'] });
    expect(now()).toEqual([false, true]);
    offline.set({ isOffline: true });
    offline.set({ isOffline: true });
    offline.set({ isOffline: false });
    expect(now()).toEqual([false, false]);
    expect(changes.map((changed) => changed.map(({ upstream, isOffline }) => [upstream, isOffline]))).toEqual(
      [
        [['quay.io', true]],
        [['docker.io', true]],
        [
          ['docker.io', false],
          ['quay.io', false],
        ],
      ],
    );
  });

  it('goes back by itself when the time is over, and says when that is', async () => {
    const { clock, offline, changes, now } = make();
    offline.set({ isOffline: true, forMs: 10 * MINUTE_MS, upstreams: ['docker.io'] });
    const until = BEGIN + 10 * MINUTE_MS;
    expect(offline.states[0]).toEqual({
      upstream: 'docker.io',
      isOffline: true,
      isConfigured: false,
      until,
    });
    expect(offline.gate('docker.io').refusal?.message).toContain('offline until 2030-01-01T00:10:00.000Z');
    await clock.advance(10 * MINUTE_MS - 1);
    expect(now()).toEqual([true, false]);
    await clock.advance(1);
    // Told by the timer, with nobody asking.
    expect(changes).toHaveLength(2);
    expect(offline.states[0]).toEqual({ upstream: 'docker.io', isOffline: false, isConfigured: false });
    expect(clock.sleeping).toBe(0);
  });

  it('ends each upstream’s time for itself, and a new order replaces the old one', async () => {
    const { clock, offline, now } = make();
    offline.set({ isOffline: true, forMs: MINUTE_MS, upstreams: ['docker.io'] });
    offline.set({ isOffline: true, forMs: 3 * MINUTE_MS, upstreams: ['quay.io'] });
    await clock.advance(MINUTE_MS);
    expect(now()).toEqual([false, true]);
    offline.set({ isOffline: true, upstreams: ['quay.io'] });
    await clock.advance(60 * MINUTE_MS);
    expect(now()).toEqual([false, true]);
    offline.set({ isOffline: true, forMs: 10 * OFFLINE_LIMIT_MS, upstreams: ['quay.io'] });
    await clock.advance(OFFLINE_LIMIT_MS);
    expect(now()).toEqual([false, false]);
  });

  it('lets what is offline by configuration be asked for a time', async () => {
    const { clock, offline, now } = make({ 'docker.io': true });
    offline.set({ isOffline: false, forMs: MINUTE_MS });
    expect(now()).toEqual([false]);
    expect(offline.gate('docker.io').refusal).toBeUndefined();
    await clock.advance(MINUTE_MS);
    expect(now()).toEqual([true]);
    // As it is configured: nothing of it ends.
    offline.set({ isOffline: true, forMs: MINUTE_MS });
    expect(offline.states[0]).toEqual({ upstream: 'docker.io', isOffline: true, isConfigured: true });
    expect(clock.sleeping).toBe(0);
  });

  it('is right for whoever asks before its late timer', async () => {
    const { clock, offline } = make();
    offline.set({ isOffline: true, forMs: MINUTE_MS });
    offline.close();
    await clock.advance(MINUTE_MS);
    expect(offline.gate('docker.io').refusal).toBeUndefined();
    expect(offline.isOffline('docker.io')).toBe(false);
  });

  it('breaks off what waits, each time that it is turned, with the refusal', () => {
    const { offline } = make();
    const gate = offline.gate('docker.io');
    for (let round = 0; round < 2; round += 1) {
      const { going } = gate;
      const others = offline.gate('quay.io').going;
      expect(going.aborted).toBe(false);
      offline.set({ isOffline: true, upstreams: ['docker.io'] });
      expect(going.aborted).toBe(true);
      expect(going.reason).toBe(gate.refusal);
      expect(others.aborted).toBe(false);
      offline.set({ isOffline: false });
    }
  });
});

const both = (first: boolean, second: boolean) => [
  { name: 'docker.io', isOffline: first },
  { name: 'quay.io', isOffline: second },
];

describe('another configuration', () => {
  it('holds at once for upstreams of which no command said anything', () => {
    const { offline, changes, now } = make();
    const { going } = offline.gate('quay.io');
    offline.configure(both(false, true));
    expect(now()).toEqual([false, true]);
    expect(going.aborted).toBe(true);
    expect(changes.flat()).toEqual([{ upstream: 'quay.io', isOffline: true, isConfigured: true }]);
  });

  it('leaves what a command said in place, until its end', async () => {
    const { clock, offline, now } = make();
    offline.set({ isOffline: true, upstreams: ['docker.io'], forMs: MINUTE_MS });
    offline.configure(both(false, false));
    expect(now()).toEqual([true, false]);
    await clock.advance(MINUTE_MS);
    expect(now()).toEqual([false, false]);
    // What the configuration says now has no end.
    offline.set({ isOffline: true, upstreams: ['docker.io'], forMs: MINUTE_MS });
    offline.configure(both(true, false));
    expect(offline.states[0]).toEqual({ upstream: 'docker.io', isOffline: true, isConfigured: true });
    expect(clock.sleeping).toBe(0);
  });

  it('has upstreams that are new offline while all are, for as long', async () => {
    const { clock, offline, now } = make({ 'docker.io': false });
    offline.set({ isOffline: true, forMs: MINUTE_MS });
    const { refusal } = offline.gateToBe('quay.io');
    expect(refusal).toBeUndefined();
    offline.configure(both(false, false));
    expect(now()).toEqual([true, true]);
    await clock.advance(MINUTE_MS);
    expect(now()).toEqual([false, false]);
    offline.set({ isOffline: true });
    offline.set({ isOffline: false });
    offline.configure([...both(false, false), { name: 'new.example', isOffline: true }]);
    expect(now()).toEqual([false, false, true]);
  });

  it('takes what is still under way at an upstream that is gone along, until it is forgotten', () => {
    const { offline, changes } = make();
    const gate = offline.gate('quay.io');
    offline.configure([{ name: 'docker.io', isOffline: false }]);
    expect(offline.states.map(({ upstream }) => upstream)).toEqual(['docker.io']);
    const { going } = gate;
    offline.set({ isOffline: true });
    expect([gate.refusal?.reason, going.aborted]).toEqual(['offline', true]);
    expect(changes.flat().map(({ upstream }) => upstream)).toEqual(['docker.io']);
    offline.forget('quay.io');
    expect(gate.refusal).toBeUndefined();
  });
});
