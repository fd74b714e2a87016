import { describe, expect, it } from 'vitest';
import { parseRetryAfter } from '../../src/upstream/retry-after.ts';

const now = Date.UTC(2030, 0, 1);

describe('parseRetryAfter', () => {
  it.each([
    ['0', 0],
    ['60', 60_000],
    [' 60 ', 60_000],
    ['99999999999', 24 * 3_600_000],
    [new Date(now + 5_000).toUTCString(), 5_000],
    [new Date(now - 5_000).toUTCString(), 0],
  ])('reads %s', (value, ms) => {
    expect(parseRetryAfter(value, now)).toBe(ms);
  });

  it.each([undefined, '', '-1', '1.5', '880.092µs', 'soon', 'Infinity', '0x10'])('ignores %s', (value) => {
    expect(parseRetryAfter(value, now)).toBeUndefined();
  });
});
