import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { OciError } from '../../src/oci/error.ts';
import {
  isRepositoryName,
  isTag,
  parseReference,
  parseRepositoryName,
  parseTag,
  printReference,
} from '../../src/oci/reference.ts';
import { processorMs } from '../support/processor-time.ts';

/** Built up from the spec's grammar, without the parser's expressions. */
const alphanumeric = fc
  .array(fc.constantFrom(...'abcdefghijklmnopqrstuvwxyz0123456789'.split('')), { minLength: 1, maxLength: 6 })
  .map((all) => all.join(''));
const separator = fc.oneof(
  fc.constantFrom('.', '_', '__'),
  fc.integer({ min: 1, max: 4 }).map((count) => '-'.repeat(count)),
);
const component = fc
  .tuple(alphanumeric, fc.array(fc.tuple(separator, alphanumeric), { maxLength: 3 }))
  .map(([first, more]) => first + more.map(([sign, text]) => sign + text).join(''));
const repositoryName = fc
  .array(component, { minLength: 1, maxLength: 5 })
  .map((all) => all.join('/'))
  .filter((name) => name.length <= 255);

const LETTERS = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_';
const tag = fc
  .tuple(
    fc.constantFrom(...LETTERS.split('')),
    fc.array(fc.constantFrom(...LETTERS.split(''), '.', '-'), { maxLength: 127 }),
  )
  .map(([first, more]) => first + more.join(''));
const digest = fc
  .array(fc.constantFrom(...'0123456789abcdef'.split('')), { minLength: 64, maxLength: 64 })
  .map((all) => `sha256:${all.join('')}`);

const anyText = fc.oneof(fc.string(), fc.string({ unit: 'binary' }), repositoryName, tag, digest);

/** The grammar once more, character by character: the parser's word is checked against it on any text. */
function namedByTheSpec(text: string): boolean {
  if (text.length > 255) return false;
  return text.split('/').every((part) => {
    if (!/^[a-z0-9._-]+$/.test(part) || part !== part.trim()) return false;
    const signs = part.split(/[a-z0-9]+/);
    const [first, last] = [signs[0], signs.at(-1)];
    if (first !== '' || last !== '') return false;
    return signs
      .slice(1, -1)
      .every((sign) => sign === '.' || sign === '_' || sign === '__' || !/[^-]/.test(sign));
  });
}

function codeOf(parse: () => unknown): string | undefined {
  try {
    parse();
    return undefined;
  } catch (error) {
    if (error instanceof OciError) return error.code;
    throw error;
  }
}

describe('a repository name', () => {
  it('is taken as it is when the grammar allows it', () => {
    fc.assert(
      fc.property(repositoryName, (name) => {
        expect(parseRepositoryName(name)).toBe(name);
      }),
    );
  });

  it('is taken if and only if the grammar allows it', () => {
    const near = fc.array(fc.constantFrom('a', '0', '.', '_', '-', '/', 'A', '%', ' ', '\n'), {
      maxLength: 12,
    });
    fc.assert(
      fc.property(
        fc.oneof(
          near.map((all) => all.join('')),
          anyText,
        ),
        (text) => {
          expect(isRepositoryName(text)).toBe(namedByTheSpec(text));
          expect(codeOf(() => parseRepositoryName(text))).toBe(
            namedByTheSpec(text) ? undefined : 'NAME_INVALID',
          );
        },
      ),
      { numRuns: 2000 },
    );
  });

  it('may be 255 characters long and no longer', () => {
    expect(isRepositoryName('a'.repeat(255))).toBe(true);
    expect(isRepositoryName('a'.repeat(256))).toBe(false);
  });

  it.each(['library/nginx', 'a--b/c__d.e_f', 'blobs/manifests/tags/referrers', 'v2', '0/0'])(
    '%j is one',
    (name) => {
      expect(isRepositoryName(name)).toBe(true);
    },
  );

  it.each([
    '',
    '/',
    'a/',
    '/a',
    'a//b',
    'a/../b',
    '..',
    '.',
    '.a',
    'a.',
    'a..b',
    'a___b',
    'a._b',
    'a-.b',
    '_catalog',
    'A',
    'a%2fb',
    'a\\b',
    'a b',
    'a\n',
    'a\0b',
    'a:5000/b',
    'ä',
    'ſ',
    'a?b',
    'a@b',
  ])('%j is none', (name) => {
    expect(isRepositoryName(name)).toBe(false);
  });

  it('of hostile length or shape is judged quickly', () => {
    const tookMs = processorMs(() => {
      for (const text of [
        'a-'.repeat(500_000),
        '-'.repeat(1_000_000),
        `${'a'.repeat(254)}!`,
        'a_'.repeat(127),
      ]) {
        expect(isRepositoryName(text)).toBe(false);
      }
    });
    expect(tookMs).toBeLessThan(400);
  });
});

describe('a tag', () => {
  it('is taken as it is when the grammar allows it', () => {
    fc.assert(
      fc.property(tag, (text) => {
        expect(parseTag(text)).toBe(text);
      }),
    );
  });

  it('is taken if and only if the grammar allows it', () => {
    fc.assert(
      fc.property(anyText, (text) => {
        const allowed =
          text.length >= 1 &&
          text.length <= 128 &&
          text
            .split('')
            .every((character) => LETTERS.includes(character) || character === '.' || character === '-') &&
          !text.startsWith('.') &&
          !text.startsWith('-');
        expect(isTag(text)).toBe(allowed);
        expect(codeOf(() => parseTag(text))).toBe(allowed ? undefined : 'TAG_INVALID');
      }),
    );
  });

  it('may be 128 characters long and no longer', () => {
    expect(isTag('a'.repeat(128))).toBe(true);
    expect(isTag('a'.repeat(129))).toBe(false);
  });

  it.each(['', '.', '..', '-', '-a', 'a/b', 'a b', 'a\n', 'a\0', 'a%20', 'ä', 'a:b', 'a+b', 'a@b'])(
    '%j is none',
    (text) => {
      expect(isTag(text)).toBe(false);
    },
  );
});

describe('a reference', () => {
  it('is printed as it was written', () => {
    fc.assert(
      fc.property(fc.oneof(tag, digest), (text) => {
        const reference = parseReference(text);
        expect(printReference(reference)).toBe(text);
        expect(parseReference(printReference(reference))).toEqual(reference);
        expect('digest' in reference).toBe(text.includes(':'));
      }),
    );
  });

  it('with a colon is a digest, else a tag, and says so when it is refused', () => {
    fc.assert(
      fc.property(anyText, (text) => {
        const code = codeOf(() => parseReference(text));
        if (code !== undefined) expect(code).toBe(text.includes(':') ? 'DIGEST_INVALID' : 'TAG_INVALID');
      }),
    );
    expect(parseReference('sha256')).toEqual({ tag: 'sha256' });
    expect(codeOf(() => parseReference('sha256:totallywrong'))).toBe('DIGEST_INVALID');
  });
});
