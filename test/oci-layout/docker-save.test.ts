import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { pack, type Header } from 'tar-stream';
import { expect, test } from 'vitest';
import { type MadeManifest, madeManifests, savedImages } from '../../src/oci-layout/docker-save.ts';
import { LayoutError } from '../../src/oci-layout/layout-error.ts';
import { openArchive } from '../../src/oci-layout/open-archive.ts';
import { digestHex, digestOf } from '../../src/oci/digest.ts';
import { buildImage } from '../support/images.ts';
import { tempDir } from '../support/temp-dir.ts';

type Entry = Partial<Header> & { readonly name: string; readonly bytes?: Buffer };

const never = new AbortController().signal;
const [MANIFEST] = buildImage().manifests;
if (MANIFEST === undefined) throw new Error('an image has a manifest');
const { config, layers } = MANIFEST;

async function made(
  entries: readonly Entry[],
  document: unknown,
): Promise<readonly (MadeManifest | LayoutError)[]> {
  const packing = pack();
  const own = { name: 'manifest.json', bytes: Buffer.from(JSON.stringify(document)) };
  for (const { bytes, ...header } of [...entries, own]) packing.entry(header, bytes ?? Buffer.alloc(0));
  packing.finalize();
  const chunks: Buffer[] = [];
  for await (const chunk of packing as AsyncIterable<Buffer>) chunks.push(chunk);
  const path = join(await tempDir(), 'a.tar');
  await writeFile(path, Buffer.concat(chunks));
  const archive = await openArchive('a.tar', [path], never);
  try {
    return await madeManifests(archive, await savedImages(archive, never), () => undefined, never);
  } finally {
    await archive.close();
  }
}

function documentOf(one: MadeManifest | LayoutError | undefined): Record<string, unknown> {
  if (one === undefined || one instanceof LayoutError) throw one ?? new Error('nothing was made');
  return JSON.parse(one.bytes.toString()) as Record<string, unknown>;
}

test('layers that are compressed stay so, and are compared with the config all the same', async () => {
  const entries = [
    { name: `sha256:${digestHex(config.digest)}`, bytes: config.bytes },
    ...layers.map(({ digest, bytes }) => ({ name: `${digestHex(digest)}.tar.gz`, bytes })),
  ];
  const image = {
    Config: `sha256:${digestHex(config.digest)}`,
    RepoTags: ['app:v1'],
    Layers: layers.map(({ digest }) => `${digestHex(digest)}.tar.gz`),
  };
  const [one] = await made(entries, [image]);
  expect(documentOf(one)).toMatchObject({
    config: { digest: config.digest },
    layers: layers.map(({ digest, size }) => ({
      mediaType: 'application/vnd.docker.image.rootfs.diff.tar.gzip',
      digest,
      size,
    })),
  });
  const [swapped] = await made(entries, [{ ...image, Layers: image.Layers.toReversed() }]);
  expect(swapped).toBeInstanceOf(LayoutError);
  expect(swapped).toHaveProperty('message', expect.stringContaining('was altered'));
});

test('a layer that is a link to another is that one', async () => {
  const tar = gunzipSync(layers[0]?.bytes ?? Buffer.alloc(0));
  const twice = Buffer.from(
    JSON.stringify({ os: 'linux', rootfs: { type: 'layers', diff_ids: [digestOf(tar), digestOf(tar)] } }),
  );
  const entries = [
    { name: 'one/layer.tar', bytes: tar },
    { name: 'two/layer.tar', type: 'symlink', linkname: '../one/layer.tar' } as const,
    { name: 'config.json', bytes: twice },
  ];
  const [one] = await made(entries, [
    { Config: 'config.json', RepoTags: null, Layers: ['one/layer.tar', 'two/layer.tar'] },
  ]);
  const layer = { digest: digestOf(tar), size: tar.length };
  expect(documentOf(one)).toMatchObject({ layers: [layer, layer] });
});

test.each([
  [{}, 'a.tar: manifest.json: is no list of images'],
  [[{ Config: 1 }], 'a.tar: manifest.json: image 1 names no config and layers'],
])('a manifest.json that is %j is refused', async (document, message) => {
  await expect(made([], document)).rejects.toThrow(message);
});

test.each([
  ['no config', [], { Config: 'c.json', Layers: [] }, 'a.tar: c.json is missing, which manifest.json names'],
  [
    'no layer',
    [{ name: 'c.json', bytes: config.bytes }],
    { Config: 'c.json', Layers: ['x/layer.tar'] },
    'a.tar: x/layer.tar is missing, a layer of c.json',
  ],
  [
    'another count of layers',
    [{ name: 'c.json', bytes: config.bytes }],
    { Config: 'c.json', Layers: [] },
    'names 2 layers, and manifest.json 0',
  ],
  [
    'a config that is none',
    [{ name: 'c.json', bytes: Buffer.from('[') }],
    { Config: 'c.json', Layers: [] },
    'a.tar: c.json is no JSON',
  ],
])('an image with %s is told with the entry, and the archive goes on', async (_, entries, image, message) => {
  const [one] = await made(entries, [image]);
  expect(one).toBeInstanceOf(LayoutError);
  expect(one).toHaveProperty('message', expect.stringContaining(message));
});
