import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { allowsPartial, matchesEtag, parseRange } from '../../src/http/range.ts';
import { OciError } from '../../src/oci/error.ts';

const ranges = (...list: readonly (readonly [number, number])[]) => ({
  kind: 'ranges',
  ranges: list.map(([start, end]) => ({ start, end })),
});
const UNSATISFIABLE = { kind: 'unsatisfiable' };

function manyRanges(count: number): string {
  return `bytes=${Array.from({ length: count }, (_, at) => `${at * 2}-${at * 2}`).join(',')}`;
}

describe('a Range header', () => {
  it.each([
    ['bytes=0-0', ranges([0, 1])],
    ['bytes=0-99', ranges([0, 100])],
    ['bytes=0-100', ranges([0, 100])],
    ['bytes=99-99', ranges([99, 100])],
    ['bytes=5-', ranges([5, 100])],
    ['bytes=-1', ranges([99, 100])],
    ['bytes=-100', ranges([0, 100])],
    ['bytes=-1000', ranges([0, 100])],
    ['BYTES=1-2', ranges([1, 3])],
    ['bytes=1-2,4-5', ranges([1, 3], [4, 6])],
    ['bytes=4-5 , 1-2', ranges([1, 3], [4, 6])],
    ['bytes=,1-2,,', ranges([1, 3])],
    ['bytes=0-10,5-20', ranges([0, 21])],
    ['bytes=0-4,5-9', ranges([0, 10])],
    ['bytes=5-5,5-5,5-5', ranges([5, 6])],
    ['bytes=0-9,200-300', ranges([0, 10])],
    ['bytes=90-,-20', ranges([80, 100])],
  ])('%s of 100 bytes', (header, expected) => {
    expect(parseRange(header, 100)).toEqual(expected);
  });

  it.each([
    'bytes=100-',
    'bytes=100-200',
    'bytes=-0',
    'bytes=',
    'bytes=,',
    'bytes=-',
    'bytes=a-b',
    'bytes=1',
    'bytes=2-1',
    'bytes=1-2-3',
    'bytes=0-1;2-3',
    'bytes=+1-2',
    'bytes=0x0-1',
    'bytes=1.0-2',
    'bytes=1e1-20',
    'bytes=--1',
    'bytes=0-1,x',
    'bytes=0 - 1',
    'bytes=١-٢',
  ])('%s of 100 bytes cannot be satisfied', (header) => {
    expect(parseRange(header, 100)).toEqual(UNSATISFIABLE);
  });

  it.each([undefined, '', 'lines=0-1', 'bytes', 'bytes:0-1', 'none'])('%s is no range of bytes', (header) => {
    expect(parseRange(header, 100)).toEqual({ kind: 'none' });
  });

  it.each([
    ['bytes=10-9223372036854775807', ranges([10, 100])],
    ['bytes=10-18446744073709551615', ranges([10, 100])],
    [`bytes=10-${'9'.repeat(40)}`, ranges([10, 100])],
    [`bytes=-${'9'.repeat(40)}`, ranges([0, 100])],
    ['bytes=00000000000000000000000000000001-2', ranges([1, 3])],
    ['bytes=9223372036854775807-', UNSATISFIABLE],
    [`bytes=${'9'.repeat(40)}-`, UNSATISFIABLE],
  ])('%s has numbers beyond what can be counted, and means what it says', (header, expected) => {
    expect(parseRange(header, 100)).toEqual(expected);
  });

  it('of empty content can never be satisfied', () => {
    for (const header of ['bytes=0-', 'bytes=0-0', 'bytes=-1', 'bytes=-0']) {
      expect(parseRange(header, 0)).toEqual(UNSATISFIABLE);
    }
  });

  it('may name thousands of stretches, and no more than 4096', () => {
    expect(parseRange(manyRanges(4096), 10_000)).toMatchObject({ kind: 'ranges', ranges: { length: 4096 } });
    expect(() => parseRange(manyRanges(4097), 10_000)).toThrow(OciError);
  });

  it('selects exactly the positions that a naive reading selects', () => {
    const spec = fc.oneof(
      fc.tuple(fc.nat(40), fc.nat(40)).map(([a, b]) => ({ text: `${a}-${a + b}`, first: a, last: a + b })),
      fc.nat(40).map((a) => ({ text: `${a}-`, first: a, last: Infinity })),
      fc.nat(40).map((n) => ({ text: `-${n}`, suffix: n })),
    );
    fc.assert(
      fc.property(fc.nat(30), fc.array(spec, { minLength: 1, maxLength: 6 }), (size, specs) => {
        const expected = new Set<number>();
        for (let at = 0; at < size; at += 1) {
          const isIn = specs.some((each) =>
            'suffix' in each ? at >= size - each.suffix : at >= each.first && at <= each.last,
          );
          if (isIn) expected.add(at);
        }
        const parsed = parseRange(`bytes=${specs.map(({ text }) => text).join(', ')}`, size);
        if (expected.size === 0) {
          expect(parsed).toEqual(UNSATISFIABLE);
          return;
        }
        if (parsed.kind !== 'ranges') throw new Error(`${parsed.kind} where ranges are due`);
        const actual = parsed.ranges.flatMap(({ start, end }) =>
          Array.from({ length: end - start }, (_, at) => start + at),
        );
        expect(actual).toEqual([...expected].toSorted((a, b) => a - b));
        for (const [at, range] of parsed.ranges.entries()) {
          expect(range.start).toBeLessThan(range.end);
          expect(range.start).toBeGreaterThan(parsed.ranges[at - 1]?.end ?? -1);
        }
      }),
      { numRuns: 5000 },
    );
  });

  it('throws nothing but an OciError on any text', () => {
    const any = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc
        .string({ unit: fc.constantFrom(...Array.from('0123456789-,= bytes')) })
        .map((text) => `bytes=${text}`),
    );
    fc.assert(
      fc.property(any, fc.nat(), (header, size) => {
        const parsed = parseRange(header, size);
        if (parsed.kind !== 'ranges') return;
        for (const { start, end } of parsed.ranges) {
          expect(start >= 0 && start < end && end <= size).toBe(true);
        }
      }),
      { numRuns: 5000 },
    );
  });
});

describe('If-Range', () => {
  it('allows a part with exactly our tag, or without the header', () => {
    expect(allowsPartial(undefined, '"a"')).toBe(true);
    expect(allowsPartial(' "a" ', '"a"')).toBe(true);
  });
  it.each(['"b"', 'W/"a"', 'a', '', '*', 'Wed, 21 Oct 2015 07:28:00 GMT', '"a", "b"'])(
    '%s does not allow a part',
    (value) => {
      expect(allowsPartial(value, '"a"')).toBe(false);
    },
  );
});

describe('If-None-Match', () => {
  it.each(['"a"', 'W/"a"', '"b", "a"', '"b",W/"a"', '*'])('%s matches', (value) => {
    expect(matchesEtag(value, '"a"')).toBe(true);
  });
  it.each([undefined, '', '"b"', 'a', '"a', '"A"'])('%s does not match', (value) => {
    expect(matchesEtag(value, '"a"')).toBe(false);
  });
});
