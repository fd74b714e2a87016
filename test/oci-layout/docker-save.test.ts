import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { type MadeManifest, madeManifests, savedImages } from '../../src/oci-layout/docker-save.ts';
import { LayoutError } from '../../src/oci-layout/layout-error.ts';
import { openArchive } from '../../src/oci-layout/open-archive.ts';
import { replaced, dockerSaveEntries } from '../support/image-archives.ts';
import { buildImage } from '../support/images.ts';
import { tarArchive } from '../support/tar-archive.ts';
import { tempDir } from '../support/temp-dir.ts';

const IMAGE = buildImage({ layerSizes: [3_000_000] });

const isLayer = (path: string): boolean => path.endsWith('layer.tar');

/** What is made of an archive whose layers are gzips, changed by `change`. */
async function madeOf(change: (gzip: Buffer) => Buffer): Promise<MadeManifest | LayoutError | undefined> {
  const path = join(await tempDir(), 'app.tar');
  const entries = dockerSaveEntries([{ image: IMAGE, tags: ['app:v1'] }]);
  await writeFile(path, tarArchive(replaced(entries, isLayer, (tar) => change(gzipSync(tar)))));
  const { signal } = new AbortController();
  const archive = await openArchive(path, [path], signal);
  try {
    const [made] = await madeManifests(archive, await savedImages(archive, signal), () => undefined, signal);
    return made;
  } finally {
    await archive.close();
  }
}

describe('a layer that docker save left compressed', () => {
  test('is taken as it is', async () => {
    expect(await madeOf((gzip) => gzip)).toMatchObject({ places: [{}, {}] });
  });

  test.each([
    ['damaged in its first bytes', (gzip: Buffer) => gzip.fill(0xff, 1000)],
    ['damaged in its middle', (gzip: Buffer) => gzip.fill(0xff, gzip.length >> 1)],
    ['cut off', (gzip: Buffer) => gzip.subarray(0, gzip.length - 1000)],
    [
      'followed by what is none',
      (gzip: Buffer) => Buffer.concat([gzip, Buffer.from('junk'.repeat(1_000_000))]),
    ],
  ])('and is %s is told, and nothing waits for ever', async (_, change) => {
    const made = await madeOf(change);
    expect(made).toBeInstanceOf(LayoutError);
    expect(made).toMatchObject({
      message: expect.stringMatching(/layer\.tar was altered: its bytes are not those that/) as string,
    });
  });
});
