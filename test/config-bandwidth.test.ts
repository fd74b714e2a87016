import { describe, expect, it } from 'vitest';
import { BandwidthTimes, parseDays, parseTimeOfDay } from '../src/config-bandwidth.ts';

const at = (text: string) => Date.parse(text);

describe('days and times of the day', () => {
  it.each([
    ['daily', [0, 1, 2, 3, 4, 5, 6]],
    ['mon-fri', [1, 2, 3, 4, 5]],
    ['fri-mon', [5, 6, 0, 1]],
    ['sat,sun', [6, 0]],
    ['wed', [3]],
  ])('%s is read', (text, days) => {
    expect(parseDays(text)).toEqual(days);
  });

  it.each(['', 'Mon', 'mon-', 'mon-tue-wed', 'monday', '1-5', 'mon;fri'])('%s is no days', (text) => {
    expect(parseDays(text)).toBeUndefined();
  });

  it.each([
    ['00:00', 0],
    ['08:30', 510],
    ['24:00', 1440],
    ['24:01', undefined],
    ['8:00', undefined],
    ['12:60', undefined],
    ['noon', undefined],
  ])('%s is minute %s', (text, minute) => {
    expect(parseTimeOfDay(text)).toBe(minute);
  });
});

describe('the limit that holds', () => {
  const office = { days: [1, 2, 3, 4, 5], fromMinute: 480, toMinute: 1080, bytesPerSecond: 5 };
  const night = { days: [5], fromMinute: 1320, toMinute: 360, bytesPerSecond: undefined };
  const times = new BandwidthTimes({ bytesPerSecond: 10, hours: [office, night], timezone: 'Europe/Berlin' });

  it.each([
    // A Friday in November; Berlin is an hour ahead of UTC.
    ['2026-11-20T06:59:00Z', 10],
    ['2026-11-20T07:00:00Z', 5],
    ['2026-11-20T16:59:59Z', 5],
    ['2026-11-20T17:00:00Z', 10],
    ['2026-11-20T21:00:00Z', Infinity],
    ['2026-11-21T04:59:00Z', Infinity],
    ['2026-11-21T05:00:00Z', 10],
    ['2026-11-21T21:00:00Z', 10],
    // In summer two.
    ['2026-07-17T06:00:00Z', 5],
    ['2026-07-17T05:59:00Z', 10],
  ])('at %s is %s', (text, limit) => {
    expect(times.limitAt(at(text))).toBe(limit);
  });

  it('is none where nothing is said', () => {
    expect(new BandwidthTimes({ hours: [] }).limitAt(0)).toBe(Infinity);
  });
});
