import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { ImageEntry } from '../../src/cache/store-events.ts';
import { chooseImages } from '../../src/commands/image-choice.ts';
import type { ImageRequest } from '../../src/commands/image-request.ts';
import { parseTagSelection } from '../../src/oci/tag-selection.ts';
import { tempDir } from '../support/temp-dir.ts';

const DIGEST = `sha256:${'a'.repeat(64)}`;
const upstreams = [{ name: 'docker.io', default: true, profile: { hubNames: true } }];
const nothing: ImageRequest = { images: [], from: [], platforms: [], withReferrers: false };

function entry(repository: string, tags: readonly string[], usedAt: number): ImageEntry {
  const facts = { mediaType: '', bytes: 0, blobs: 0, exclusiveBytes: 0, pinned: false };
  const checkedAt = tags.map(() => usedAt);
  return { upstream: 'docker.io', repository, tags: [...tags], checkedAt, digest: DIGEST, usedAt, ...facts };
}

async function choose(request: Partial<ImageRequest>, workingDir = '/', entries: readonly ImageEntry[] = []) {
  const context = {
    upstreams,
    io: { environment: {}, workingDir },
    operations: {
      async *images() {
        yield* entries;
      },
    },
    clock: { now: () => 1000 },
  };
  const { images, problems } = await chooseImages(
    { ...nothing, ...request },
    context,
    new AbortController().signal,
  );
  return {
    images: images.map(
      ({ repository, tag, digest, places }) => `${repository} ${tag ?? digest ?? '-'} ${places.join(' ')}`,
    ),
    problems: problems.map(({ place, message }) => `${place}: ${message}`),
  };
}

test('arguments, files and what the cache served come together, each image once', async () => {
  const directory = await tempDir();
  await writeFile(join(directory, 'site.txt'), 'redis:7\nghcr.io/a/b:1\nnginx:1\n');
  const entries = [
    entry('library/redis', ['7', '7.4'], 600),
    entry('team/app', [], 500),
    entry('team/old', ['v1'], 499),
  ];
  const images = [{ text: 'nginx:1', place: 'argument' }];
  expect(await choose({ images, from: ['site.txt'], seenWithinMs: 500 }, directory, entries)).toEqual({
    images: [
      'library/nginx 1 argument site.txt:3',
      'library/redis 7 site.txt:1',
      'library/redis 7.4 seen',
      `team/app ${DIGEST} seen`,
    ],
    problems: ['site.txt:2: ghcr.io/a/b:1: ghcr.io is not an upstream; there are docker.io'],
  });
});

test('a selection of tags that selects for nothing is a problem', async () => {
  const tags = parseTagSelection('^1');
  if ('problem' in tags) throw new Error(tags.problem);
  const images = [{ text: 'nginx:1', place: 'argument' }];
  expect((await choose({ images, tags })).problems).toEqual([
    'argument: --tags ^1: of every image that was named it is said already which one is meant',
  ]);
  expect(
    (await choose({ images: [...images, { text: 'redis', place: 'argument' }], tags })).problems,
  ).toEqual([]);
});
