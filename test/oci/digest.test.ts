import { createHash } from 'node:crypto';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  digestAlgorithm,
  digestFrom,
  digestFromHash,
  digestHex,
  digestOf,
  parseDigest,
} from '../../src/oci/digest.ts';
import { OciError } from '../../src/oci/error.ts';

const EMPTY = 'sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855';

/** Written from the image-spec's words, not from the parser. */
const hexText = (length: number): fc.Arbitrary<string> =>
  fc
    .array(fc.constantFrom(...'0123456789abcdef'.split('')), { minLength: length, maxLength: length })
    .map((all) => all.join(''));
const digestText = fc.oneof(
  hexText(64).map((hex) => `sha256:${hex}`),
  hexText(128).map((hex) => `sha512:${hex}`),
);

function codeOf(text: string): string | undefined {
  try {
    parseDigest(text);
    return undefined;
  } catch (error) {
    if (error instanceof OciError) return error.code;
    throw error;
  }
}

describe('a digest', () => {
  it('comes out as it went in', () => {
    fc.assert(
      fc.property(digestText, (text) => {
        const digest = parseDigest(text);
        expect(digest).toBe(text);
        expect(`${digestAlgorithm(digest)}:${digestHex(digest)}`).toBe(text);
        expect(digestFrom(text)).toBe(text);
      }),
    );
  });

  it.each([
    ['nothing', ''],
    ['no colon', 'sha256'],
    ['no hexadecimal part', 'sha256:'],
    ['63 digits', `sha256:${'a'.repeat(63)}`],
    ['65 digits', `sha256:${'a'.repeat(65)}`],
    ['the length of the other algorithm', `sha512:${'a'.repeat(64)}`],
    ['upper-case digits', `sha256:${'A'.repeat(64)}`],
    ['an upper-case algorithm', `SHA256:${'a'.repeat(64)}`],
    ['another alphabet', `sha256:${'g'.repeat(64)}`],
    ['another encoding', `sha256+b64u:${'a'.repeat(43)}`],
    ['an algorithm we do not verify', `blake3:${'a'.repeat(64)}`],
    ['a weak algorithm', `md5:${'a'.repeat(32)}`],
    ['a name of an object', 'constructor:abc'],
    ['white space around it', ` ${EMPTY}`],
    ['a newline after it', `${EMPTY}\n`],
    ['a NUL after it', `${EMPTY}\0`],
    ['a path behind it', `${EMPTY}/../x`],
    ['a second colon', `sha256:${EMPTY}`],
    ['digits of another script', `sha256:${'٣'.repeat(64)}`],
  ])('with %s is refused', (_, text) => {
    expect(codeOf(text)).toBe('DIGEST_INVALID');
    expect(digestFrom(text)).toBeUndefined();
  });

  it('of an unsupported algorithm is told apart from one that is no digest', () => {
    expect(() => parseDigest(`blake3:${'a'.repeat(64)}`)).toThrow(/"blake3" is not supported/);
    expect(() => parseDigest('sha256:zz')).toThrow(/64/);
  });

  it('is refused with OciError or taken, whatever the text', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.string({ unit: 'binary' }), digestText), (text) => {
        const code = codeOf(text);
        expect(code === undefined || code === 'DIGEST_INVALID').toBe(true);
        expect(digestFrom(text)).toBe(code === undefined ? text : undefined);
      }),
    );
  });

  it('is refused after any one character of it was changed, unless to another digit', () => {
    const changed = fc.tuple(digestText, fc.nat(), fc.string({ minLength: 1, maxLength: 1 }));
    fc.assert(
      fc.property(changed, ([text, at, character]) => {
        const position = at % text.length;
        const other = text.slice(0, position) + character + text.slice(position + 1);
        const still = other === text || (position >= 7 && /^[0-9a-f]$/.test(character));
        expect(digestFrom(other) !== undefined).toBe(still);
      }),
    );
  });

  it('is not found in anything but a string', () => {
    fc.assert(
      fc.property(fc.anything(), (value) => {
        if (typeof value !== 'string') expect(digestFrom(value)).toBeUndefined();
      }),
    );
    expect(digestFrom([EMPTY])).toBeUndefined();
    expect(digestFrom({ toString: () => EMPTY })).toBeUndefined();
  });

  it('of bytes is that of the standard', () => {
    expect(digestOf(Buffer.alloc(0))).toBe(EMPTY);
    expect(digestOf(Buffer.from('abc'), 'sha512')).toMatch(/^sha512:ddaf35a193617aba.*a54ca49f$/);
    fc.assert(
      fc.property(
        fc.uint8Array(),
        fc.constantFrom('sha256' as const, 'sha512' as const),
        (bytes, algorithm) => {
          const digest = digestOf(bytes, algorithm);
          expect(parseDigest(digest)).toBe(digest);
          expect(digestFromHash(algorithm, createHash(algorithm).update(bytes))).toBe(digest);
        },
      ),
    );
  });
});
