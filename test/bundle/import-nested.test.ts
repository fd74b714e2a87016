import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { type ImportedImage, type ImportFailure, runImport } from '../../src/bundle/import-run.ts';
import { digestOf } from '../../src/oci/digest.ts';
import { OCI_INDEX } from '../../src/oci/media-type.ts';
import { directoryStore } from '../cache/store-subjects.ts';
import { layoutEntries } from '../support/image-archives.ts';
import { type BuiltContent, buildImage, descriptorOf } from '../support/images.ts';
import { tarArchive } from '../support/tar-archive.ts';
import { tempDir } from '../support/temp-dir.ts';

const never = new AbortController().signal;
const IMAGE = buildImage({ seed: 2 });
/** Layers of indexes, each of which lists all of the layer below it. */
const DEPTH = 4;
const WIDTH = 40;

function indexOf(children: readonly BuiltContent[], number: number): BuiltContent {
  const manifests = children.map(descriptorOf);
  const annotations = { number: String(number) };
  const document = { schemaVersion: 2, mediaType: OCI_INDEX, manifests, annotations };
  const bytes = Buffer.from(JSON.stringify(document));
  return { digest: digestOf(bytes), bytes, size: bytes.length, mediaType: OCI_INDEX };
}

test('an archive whose indexes list the same again and again comes to what is in it', async () => {
  const indexes: BuiltContent[] = [];
  let below: readonly BuiltContent[] = [IMAGE.root];
  for (let depth = 0; depth < DEPTH; depth += 1) {
    const children = below;
    below = Array.from({ length: WIDTH }, (_, at) => indexOf(children, at));
    indexes.push(...below);
  }
  const root = indexOf(below, 0);
  const image = { ...IMAGE, root, blobs: [...IMAGE.blobs, IMAGE.root, ...indexes] };
  const path = join(await tempDir(), 'nested.tar');
  await writeFile(path, tarArchive(layoutEntries([{ image, fullName: 'docker.io/library/app:v1' }])));
  const subject = await directoryStore();
  await subject.app();
  const store = { operations: await subject.operations(), contents: await subject.contents() };
  const told: (ImportedImage | ImportFailure)[] = [];
  const summary = await runImport(
    {
      files: [{ name: 'nested.tar', pieces: [path] }],
      naming: { upstreams: [{ name: 'docker.io', default: true, profile: { hubNames: true } }] },
      publicKeys: [],
      dryRun: false,
    },
    store,
    {
      progress: () => undefined,
      remark: () => undefined,
      image: (one) => void told.push(one),
      failure: (one) => void told.push(one),
    },
    never,
  );
  expect(told).toMatchObject([{ name: 'docker.io/library/app:v1', outcome: 'added' }]);
  expect(summary).toMatchObject({ failures: 0, blobs: IMAGE.blobs.length + 1 + DEPTH * WIDTH + 1 });
});
