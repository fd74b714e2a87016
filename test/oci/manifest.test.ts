import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { ManifestError, readManifest } from '../../src/oci/manifest.ts';
import {
  DOCKER_MANIFEST,
  DOCKER_MANIFEST_LIST,
  MANIFEST_MEDIA_TYPES,
  OCI_INDEX,
  OCI_MANIFEST,
} from '../../src/oci/media-type.ts';
import { buildImage, buildReferrer } from '../support/images.ts';

const bytes = (document: unknown): Buffer => Buffer.from(JSON.stringify(document));
const descriptor = (text: string, mediaType = 'application/octet-stream'): Record<string, unknown> => ({
  mediaType,
  digest: digestOf(Buffer.from(text)),
  size: text.length,
});

describe('a manifest', () => {
  it.each(['oci', 'docker'] as const)('of %s flavour lists its config and then its layers', (flavour) => {
    const [manifest] = buildImage({ flavour }).manifests;
    if (!manifest) throw new Error('no manifest');
    const facts = readManifest(manifest.bytes, manifest.mediaType);
    expect(facts).toMatchObject({ isIndex: false, mediaType: manifest.mediaType });
    expect(facts.descriptors).toEqual(
      [manifest.config, ...manifest.layers].map(({ mediaType, digest, size }) => ({
        mediaType,
        digest,
        size,
        held: true,
      })),
    );
  });

  it.each(['oci', 'docker'] as const)('list or index of %s flavour lists its manifests', (flavour) => {
    const { root, manifests } = buildImage({ flavour, platforms: ['linux/amd64', 'linux/arm64'] });
    const facts = readManifest(root.bytes, root.mediaType);
    expect(facts.isIndex).toBe(true);
    expect(facts.descriptors.map(({ digest }) => digest)).toEqual(manifests.map(({ digest }) => digest));
  });

  it('does not list its subject, which the repository need not hold', () => {
    const { root } = buildImage();
    const { manifest, blobs } = buildReferrer(root, { artifactType: 'a/b', payload: 'p' });
    const { descriptors } = readManifest(manifest.bytes, manifest.mediaType);
    expect(descriptors.map(({ digest }) => digest)).toEqual(blobs.map(({ digest }) => digest));
  });

  it('is read under a content type with parameters and capitals, and without a mediaType of its own', () => {
    const document = bytes({ schemaVersion: 2, config: descriptor('c'), layers: [] });
    expect(readManifest(document, `${OCI_MANIFEST.toUpperCase()}; charset=utf-8`).mediaType).toBe(
      OCI_MANIFEST,
    );
  });

  it.each([
    undefined,
    '',
    'text/html',
    'application/json',
    'application/vnd.docker.distribution.manifest.v1+json',
  ])('is refused under the content type %j', (contentType) => {
    expect(() => readManifest(bytes({}), contentType)).toThrow(ManifestError);
  });

  it.each([
    ['names another type than the header', OCI_MANIFEST, { mediaType: DOCKER_MANIFEST, layers: [] }],
    ['has a mediaType that is no text', OCI_MANIFEST, { mediaType: null }],
    ['is a manifest with manifests', OCI_MANIFEST, { config: descriptor('c'), layers: [], manifests: [] }],
    ['is an index with layers', OCI_INDEX, { manifests: [], layers: [] }],
    ['is a list with a config', DOCKER_MANIFEST_LIST, { manifests: [], config: descriptor('c') }],
    ['has layers of schema 1', DOCKER_MANIFEST, { fsLayers: [] }],
    ['is an index with layers of schema 1', OCI_INDEX, { fsLayers: [] }],
    ['is a list', OCI_MANIFEST, []],
    ['is null', OCI_MANIFEST, null],
    ['is a text', OCI_MANIFEST, 'manifest'],
  ])('is refused when it %s', (_, contentType, document) => {
    expect(() => readManifest(bytes(document), contentType)).toThrow(ManifestError);
  });

  it('is refused with the cause kept when it is not JSON', () => {
    for (const text of ['', '{', '<html></html>', '{"a":1}{"b":2}', '\uFEFF{}']) {
      expect(() => readManifest(Buffer.from(text), OCI_MANIFEST)).toThrow(
        expect.objectContaining({
          name: 'ManifestError',
          cause: expect.any(SyntaxError) as unknown,
        }) as Error,
      );
    }
  });

  it('lists each digest once and leaves out what is no descriptor', () => {
    const layer = descriptor('l');
    const blake = { ...layer, digest: `blake3:${'a'.repeat(64)}` };
    const document = { config: layer, layers: [layer, null, 1, {}, blake, descriptor('m'), layer] };
    expect(readManifest(bytes(document), OCI_MANIFEST).descriptors.map(({ digest }) => digest)).toEqual([
      digestOf(Buffer.from('l')),
      digestOf(Buffer.from('m')),
    ]);
  });

  it('lists nothing where its lists are absent or no lists', () => {
    for (const document of [{}, { layers: null }, { layers: {} }, { layers: 'x', config: [] }]) {
      expect(readManifest(bytes(document), OCI_MANIFEST).descriptors).toEqual([]);
    }
    expect(readManifest(bytes({ manifests: null }), OCI_INDEX).descriptors).toEqual([]);
  });

  it('is refused when it lists more than any image has', () => {
    const layers = Array.from({ length: 20_001 }, () => ({}));
    expect(() => readManifest(bytes({ layers }), OCI_MANIFEST)).toThrow(/too many/);
  });

  it('is read from a view into a larger buffer', () => {
    const whole = Buffer.concat([
      Buffer.from('junk'),
      bytes({ layers: [descriptor('l')] }),
      Buffer.from('junk'),
    ]);
    const view = new Uint8Array(whole.buffer, whole.byteOffset + 4, whole.length - 8);
    expect(readManifest(view, OCI_MANIFEST).descriptors).toHaveLength(1);
  });

  it('nested very deeply does not break the process', () => {
    const deep = Buffer.from(`{"layers":${'['.repeat(200_000)}${']'.repeat(200_000)}}`);
    expect(readManifest(deep, OCI_MANIFEST).descriptors).toEqual([]);
  });

  it('cannot reach the prototype of anything', () => {
    const document = Buffer.from(`{"__proto__":{"manifests":[],"mediaType":"x"},"layers":[]}`);
    expect(readManifest(document, OCI_MANIFEST).descriptors).toEqual([]);
    expect(({} as Record<string, unknown>)['manifests']).toBeUndefined();
  });

  it('is read or refused with ManifestError, whatever the bytes', () => {
    const field = fc.oneof(
      fc.jsonValue(),
      fc.array(fc.constantFrom(descriptor('a'), descriptor('b'), {}, null, 3)),
      fc.constantFrom(...MANIFEST_MEDIA_TYPES),
    );
    const names = fc.constantFrom(
      'mediaType',
      'config',
      'layers',
      'manifests',
      'fsLayers',
      'subject',
      '__proto__',
    );
    const document = fc.oneof(
      fc.uint8Array(),
      fc.string().map((text) => Buffer.from(text)),
      fc.jsonValue().map(bytes),
      fc.dictionary(names, field).map(bytes),
    );
    const contentType = fc.oneof(fc.constantFrom(...MANIFEST_MEDIA_TYPES), fc.string());
    fc.assert(
      fc.property(document, contentType, (any, type) => {
        try {
          const { descriptors } = readManifest(any, type);
          expect(new Set(descriptors.map(({ digest }) => digest)).size).toBe(descriptors.length);
        } catch (error) {
          expect(error).toBeInstanceOf(ManifestError);
        }
      }),
      { numRuns: 1000 },
    );
  });
});
