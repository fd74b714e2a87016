import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  acceptedManifestTypes,
  bareMediaType,
  DOCKER_MANIFEST,
  DOCKER_MANIFEST_LIST,
  isIndexMediaType,
  MANIFEST_MEDIA_TYPES,
  OCI_INDEX,
  OCI_MANIFEST,
} from '../../src/oci/media-type.ts';

describe('a media type', () => {
  it('loses its parameters, the space around it and its capitals', () => {
    expect(bareMediaType(`  ${OCI_INDEX} ; charset=utf-8`)).toBe(OCI_INDEX);
    expect(bareMediaType(OCI_INDEX.toUpperCase())).toBe(OCI_INDEX);
  });

  it('is absent when the header is absent, empty or has parameters alone', () => {
    expect([undefined, '', '  ', ';charset=utf-8'].map(bareMediaType)).toEqual([
      undefined,
      undefined,
      undefined,
      undefined,
    ]);
  });

  it('of an index is told from that of a manifest', () => {
    expect(MANIFEST_MEDIA_TYPES.filter(isIndexMediaType)).toEqual([OCI_INDEX, DOCKER_MANIFEST_LIST]);
  });
});

describe('what a client accepts', () => {
  it('is every kind of manifest when it does not say, or names none of them', () => {
    for (const headers of [[], [''], ['*/*'], ['application/*'], ['text/html'], [', ,;']]) {
      expect(acceptedManifestTypes(headers)).toEqual(MANIFEST_MEDIA_TYPES);
    }
  });

  it('is what it lists, over several headers, in any order and case', () => {
    expect(acceptedManifestTypes([DOCKER_MANIFEST])).toEqual([DOCKER_MANIFEST]);
    expect(
      acceptedManifestTypes([`${DOCKER_MANIFEST},${OCI_MANIFEST.toUpperCase()}`, ` ${OCI_INDEX} `]),
    ).toEqual([OCI_INDEX, OCI_MANIFEST, DOCKER_MANIFEST]);
  });

  it('takes account of weights only where they are zero', () => {
    expect(acceptedManifestTypes([`${OCI_INDEX};q=0.1, ${OCI_MANIFEST};q=0`])).toEqual([OCI_INDEX]);
    expect(acceptedManifestTypes([`${OCI_INDEX}; Q=0.0, ${OCI_MANIFEST}`])).toEqual([OCI_MANIFEST]);
    expect(acceptedManifestTypes([`${OCI_INDEX};q=many`])).toEqual([OCI_INDEX]);
  });

  it('is everything for a client that ends its list with a wildcard, as containerd does', () => {
    expect(acceptedManifestTypes([`${DOCKER_MANIFEST}, ${OCI_INDEX}, */*`])).toEqual(MANIFEST_MEDIA_TYPES);
  });

  it('is never empty, never unknown, never ordered by the client, whatever the headers', () => {
    const piece = fc.oneof(
      fc.constantFrom(...MANIFEST_MEDIA_TYPES, '*/*', 'application/*'),
      fc.string(),
      fc.constantFrom(';q=0', ';q=1', ',', ';', ' '),
    );
    const header = fc.array(piece, { maxLength: 6 }).map((all) => all.join(''));
    fc.assert(
      fc.property(fc.array(header, { maxLength: 3 }), (headers) => {
        const accepted = acceptedManifestTypes(headers);
        expect(accepted.length).toBeGreaterThan(0);
        expect(accepted).toEqual(MANIFEST_MEDIA_TYPES.filter((type) => accepted.includes(type)));
      }),
    );
  });
});
