import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseChallenges } from '../../src/upstream/challenge.ts';
import { processorMs } from '../support/processor-time.ts';

const read = (...lines: string[]): unknown =>
  parseChallenges(lines).map(({ scheme, parameters }) => [scheme, Object.fromEntries(parameters)]);

describe('parseChallenges', () => {
  it.each<[string, unknown]>([
    [
      'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/nginx:pull,push"',
      [
        [
          'bearer',
          {
            realm: 'https://auth.docker.io/token',
            service: 'registry.docker.io',
            scope: 'repository:library/nginx:pull,push',
          },
        ],
      ],
    ],
    ['bEaReR Realm="https://x/t"', [['bearer', { realm: 'https://x/t' }]]],
    [
      'Basic realm="a \\"quoted\\", b", Bearer realm="https://x/t"',
      [
        ['basic', { realm: 'a "quoted", b' }],
        ['bearer', { realm: 'https://x/t' }],
      ],
    ],
    [
      'Negotiate, Basic realm=x',
      [
        ['negotiate', {}],
        ['basic', { realm: 'x' }],
      ],
    ],
    [
      'Negotiate YWJj==, Bearer realm="r"',
      [
        ['negotiate', {}],
        ['bearer', { realm: 'r' }],
      ],
    ],
    ['Bearer realm = "r" , service = "s"', [['bearer', { realm: 'r', service: 's' }]]],
    ['Bearer realm=https://x/t?a=b,service=s', [['bearer', { realm: 'https://x/t?a=b', service: 's' }]]],
    ['Bearer realm="first",realm="second"', [['bearer', { realm: 'first' }]]],
    ['Bearer realm="https://x/t"service="s"', [['bearer', { realm: 'https://x/t', service: 's' }]]],
    [', ,Bearer realm="r",,', [['bearer', { realm: 'r' }]]],
    ['Bearer', [['bearer', {}]]],
    ['realm="r", Basic a="b"', [['basic', { a: 'b' }]]],
    ['', []],
    ['"""', []],
  ])('reads %s', (line, challenges) => {
    expect(read(line)).toEqual(challenges);
  });

  it('reads several lines in order', () => {
    expect(read('Basic realm="a"', 'Bearer realm="b"')).toEqual([
      ['basic', { realm: 'a' }],
      ['bearer', { realm: 'b' }],
    ]);
  });

  const token = fc.stringMatching(/^[A-Za-z][A-Za-z0-9_-]{0,10}$/);
  const challenge = fc.record({
    scheme: token,
    parameters: fc.uniqueArray(fc.tuple(token, fc.string({ maxLength: 30 })), {
      selector: ([name]) => name.toLowerCase(),
      maxLength: 5,
      minLength: 1,
    }),
  });

  it('reads back whatever was written by the grammar', () => {
    fc.assert(
      fc.property(fc.array(challenge, { maxLength: 8 }), (challenges) => {
        const line = challenges
          .map(({ scheme, parameters }) => {
            const printed = parameters.map(([name, value]) => `${name}="${value.replace(/["\\]/g, '\\$&')}"`);
            return `${scheme} ${printed.join(', ')}`;
          })
          .join(', ');
        const expected = challenges.map(({ scheme, parameters }) => ({
          scheme: scheme.toLowerCase(),
          parameters: new Map(parameters.map(([name, value]) => [name.toLowerCase(), value])),
        }));
        expect(parseChallenges([line])).toEqual(expected);
      }),
    );
  });

  it('never throws and never gives more than 16, whatever comes', () => {
    const noise = fc.oneof(
      fc.string({ maxLength: 200, unit: 'binary' }),
      fc.string({ maxLength: 200, unit: fc.constantFrom(...'aB=,"\\ \t;/'.split('')) }),
    );
    fc.assert(
      fc.property(fc.array(noise), (lines) => {
        expect(parseChallenges(lines).length).toBeLessThanOrEqual(16);
      }),
    );
  });

  it('reads the largest header there may be without a blow-up', () => {
    for (const unit of ['a ', 'a=', '"', '\\"', 'a="\\', ', ', 'Basic ', 'a=b,', '=']) {
      // Quadratic behaviour would take seconds.
      expect(processorMs(() => parseChallenges([unit.repeat(16_384 / unit.length)]))).toBeLessThan(1_000);
    }
  });
});
