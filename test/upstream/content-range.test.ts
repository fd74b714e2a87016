import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseContentRange } from '../../src/upstream/content-range.ts';

describe('parseContentRange', () => {
  it('reads back every range that can be', () => {
    const size = fc.integer({ min: 0, max: 2 ** 40 });
    fc.assert(
      fc.property(size, size, size, fc.boolean(), (start, length, rest, known) => {
        const last = start + length;
        const total = known ? last + 1 + rest : undefined;
        expect(parseContentRange(`bytes ${start}-${last}/${total ?? '*'}`)).toEqual({
          start,
          end: last + 1,
          total,
        });
      }),
    );
  });

  it.each([
    undefined,
    '',
    'bytes */100',
    'bytes 0-/100',
    'bytes -5/100',
    'bytes 5-4/100',
    'bytes 0-100/100',
    'bytes 0-9/10, bytes 0-9/10',
    'items 0-9/10',
    '0-9/10',
    'bytes 0x0-0x9/10',
    'bytes 0-9/1e3',
    'bytes 0-9999999999999999/*',
    'bytes=0-9/10',
  ])('refuses %s', (value) => {
    expect(parseContentRange(value)).toBeUndefined();
  });

  it('gives only ranges that can be, whatever comes', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: fc.constantFrom(...'bytes 0123456789-/*,'.split('')), maxLength: 40 }),
        (text) => {
          const range = parseContentRange(text);
          if (range === undefined) return;
          expect(range.end).toBeGreaterThan(range.start);
          expect(range.total ?? range.end).toBeGreaterThanOrEqual(range.end);
        },
      ),
    );
  });
});
