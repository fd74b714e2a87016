import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { descriptorFrom } from '../../src/oci/descriptor.ts';
import { digestOf } from '../../src/oci/digest.ts';

const DIGEST = digestOf(Buffer.from('x'));
const LAYER = 'application/vnd.oci.image.layer.v1.tar+gzip';
const GOOD = { mediaType: LAYER, digest: DIGEST, size: 1 };

/** A field that is right, or anything at all. */
function field(good: unknown): fc.Arbitrary<unknown> {
  return fc.oneof(fc.constant(good), fc.anything());
}

describe('a descriptor', () => {
  it('is its media type, digest and size, and nothing else that the document says', () => {
    const value = { ...GOOD, urls: [], annotations: { a: 'b' }, data: 'eA==', held: false };
    expect(descriptorFrom(value)).toEqual({ ...GOOD, held: true });
  });

  it.each([
    ['null', null],
    ['a list', [GOOD]],
    ['a text', JSON.stringify(GOOD)],
    ['one without a digest', { mediaType: LAYER, size: 1 }],
    ['one with a digest that is none', { ...GOOD, digest: 'sha256:abc' }],
    ['one with a digest that we cannot verify', { ...GOOD, digest: `blake3:${'a'.repeat(64)}` }],
    ['one without a media type', { digest: DIGEST, size: 1 }],
    ['one without a size', { mediaType: LAYER, digest: DIGEST }],
    ['one with a negative size', { ...GOOD, size: -1 }],
    ['one with a size in text', { ...GOOD, size: '1' }],
    ['one with half a byte', { ...GOOD, size: 0.5 }],
    ['one with more bytes than can be counted', { ...GOOD, size: 2 ** 53 }],
    ['one with an endless size', { ...GOOD, size: Infinity }],
  ])('is not made of %s', (_, value) => {
    expect(descriptorFrom(value)).toBeUndefined();
  });

  it('may be of an empty blob', () => {
    expect(descriptorFrom({ ...GOOD, size: 0 })?.size).toBe(0);
  });

  it.each([
    ['it has urls', { ...GOOD, urls: ['https://example.com/layer'] }],
    [
      'its type is not distributable',
      { ...GOOD, mediaType: 'application/vnd.oci.image.layer.nondistributable.v1.tar' },
    ],
    [
      'its type is foreign',
      { ...GOOD, mediaType: 'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip' },
    ],
  ])('is of content that the registry need not hold when %s', (_, value) => {
    expect(descriptorFrom(value)?.held).toBe(false);
  });

  it('is made or not, without throwing, of any value', () => {
    const value = fc.record(
      { mediaType: field(LAYER), digest: field(DIGEST), size: field(1), urls: fc.anything() },
      { requiredKeys: [] },
    );
    fc.assert(
      fc.property(fc.oneof(fc.anything(), value), (any) => {
        const descriptor = descriptorFrom(any);
        if (descriptor === undefined) return;
        expect(descriptor.digest).toBe(DIGEST);
        expect(Number.isSafeInteger(descriptor.size) && descriptor.size >= 0).toBe(true);
      }),
    );
  });
});
