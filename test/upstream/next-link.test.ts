import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseNextLink } from '../../src/upstream/next-link.ts';
import { processorMs } from '../support/processor-time.ts';

describe('parseNextLink', () => {
  it.each([
    ['</v2/a/tags/list?last=b&n=1>; rel="next"', '/v2/a/tags/list?last=b&n=1'],
    ['</a>; rel=next', '/a'],
    ['</a>;rel="NEXT"', '/a'],
    ['</a>; title="x, y; rel=next"; rel="prev", </b>; rel="next"', '/b'],
    ['</a>; rel="last next"', '/a'],
    ['</a,b;c>; rel="next"', '/a,b;c'],
  ])('finds the next page in %s', (value, target) => {
    expect(parseNextLink([value])).toBe(target);
  });

  it.each([[[]], [['']], [['</a>; rel="prev"']], [['</a>']], [['/a; rel="next"']], [['< /a>; rel="next"']]])(
    'finds none in %s',
    (values) => {
      expect(parseNextLink(values)).toBeUndefined();
    },
  );

  it('looks at every line', () => {
    expect(parseNextLink(['</a>; rel="prev"', '</b>; rel="next"'])).toBe('/b');
  });

  it('never throws, and gives only what was between angle brackets', () => {
    const noise = fc.string({ unit: fc.constantFrom(...'</a>;rel="nxt",\\ ='.split('')), maxLength: 80 });
    fc.assert(
      fc.property(noise, (text) => {
        const target = parseNextLink([text]);
        if (target !== undefined) expect(text).toContain(`<${target}>`);
      }),
    );
  });

  it('reads a long header without a blow-up', () => {
    for (const unit of ['<a>;', '<a>;"', '"\\', '<', '<a>; rel=', '<a>" " ']) {
      expect(processorMs(() => parseNextLink([unit.repeat(8_000 / unit.length)]))).toBeLessThan(1_000);
    }
  });
});
