import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { runProgram } from '../../src/commands/program.ts';
import { digestOf } from '../../src/oci/digest.ts';
import { OCI_INDEX } from '../../src/oci/media-type.ts';
import { fakeProcess } from '../support/fake-process.ts';
import { get } from '../support/http-get.ts';
import { blobEntry, bundleEntries, json, layoutEntries, replaced } from '../support/image-archives.ts';
import { buildImage, type BuiltImage, descriptorOf } from '../support/images.ts';
import { startApp } from '../support/running-app.ts';
import { tarArchive, type TarEntry } from '../support/tar-archive.ts';

/** Of a repository that some clients may not pull from. */
const SECRET = buildImage({ seed: 2, base: { size: 3000, seed: 9 } });
/** Has a layer of it. */
const OWN = buildImage({ seed: 3, base: { size: 3000, seed: 9 } });
const shared = OWN.blobs.find(({ digest }) => SECRET.blobs.some((blob) => blob.digest === digest));
if (shared === undefined) throw new Error('they share a layer');
const SHARED = blobEntry(shared);
const NAMED = 'docker.io/library/app:v1';
const UPSTREAMS = ['docker.io', 'quay.io'];

let directory: string;

async function run(...args: readonly string[]) {
  const one = await fakeProcess();
  const own = { ...one.io, workingDir: directory, environment: {} };
  const code = await runProgram([...args, '--config', 'config.yaml'], own);
  return { code, stdout: one.stdout(), stderr: one.stderr() };
}

async function importOf(entries: readonly TarEntry[]) {
  await writeFile(join(directory, 'own.tar'), tarArchive(entries));
  return run('import', 'own.tar');
}

/** What library/app's clients are answered without any upstream. */
async function answers(...paths: readonly string[]): Promise<readonly number[]> {
  const upstreams = UPSTREAMS.map((name) => ({ name, url: 'http://127.0.0.1:9' }));
  const { url } = await startApp({ dataDir: join(directory, 'data'), offline: true, upstreams });
  return Promise.all(paths.map(async (path) => (await get(`${url}/v2/library/app/${path}`)).status));
}

beforeEach(async () => {
  const { io } = await fakeProcess();
  directory = io.workingDir;
  const upstreams = Object.fromEntries(UPSTREAMS.map((name) => [name, { url: 'http://127.0.0.1:9' }]));
  await writeFile(join(directory, 'config.yaml'), JSON.stringify({ dataDir: './data', upstreams }));
  const fullName = 'quay.io/secret/app:v1';
  await writeFile(join(directory, 'secret.tar'), tarArchive(layoutEntries([{ image: SECRET, fullName }])));
  expect(await run('import', 'secret.tar')).toMatchObject({ code: 0 });
});

describe('an archive that knows the digest of what another repository holds', () => {
  const whole = layoutEntries([{ image: OWN, fullName: NAMED }]);

  test.each([
    ['lacks the blob', whole.filter(({ path }) => path !== SHARED.path), 'is missing'],
    [
      'has other bytes under that name',
      replaced(
        whole,
        (path) => path === SHARED.path,
        (bytes) => bytes.fill(1),
      ),
      'was altered',
    ],
  ])('and %s gives its repository nothing', async (_, entries, sentence) => {
    const ended = await importOf(entries);
    expect(ended).toMatchObject({ code: 1, stdout: '' });
    expect(ended.stderr).toContain(`own.tar: ${SHARED.path}`);
    expect(ended.stderr).toContain(sentence);
    expect(await answers(`blobs/${shared.digest}`, 'manifests/v1')).toEqual([404, 404]);
  });

  test('and brings the blob has it', async () => {
    expect(await importOf(whole)).toMatchObject({ code: 0 });
    expect(await answers(`blobs/${shared.digest}`, 'manifests/v1')).toEqual([200, 200]);
  });

  test('and brings no manifest for a name of its own gives that nothing', async () => {
    const [mark, index] = layoutEntries([{ image: SECRET, fullName: NAMED }]).filter(
      ({ path }) => !path.startsWith('blobs/'),
    );
    const ended = await importOf([mark, index].filter((entry) => entry !== undefined));
    expect(ended).toMatchObject({ code: 1, stdout: '' });
    expect(await answers(`manifests/${SECRET.root.digest}`)).toEqual([404]);
  });

  test('and lists its manifest in an index gives nothing of it', async () => {
    const manifests = [OWN.root, SECRET.root].map(descriptorOf);
    const bytes = json('', { schemaVersion: 2, mediaType: OCI_INDEX, manifests }).bytes ?? Buffer.alloc(0);
    const root = { ...OWN.root, digest: digestOf(bytes), bytes: Buffer.from(bytes), size: bytes.length };
    const image: BuiltImage = { ...OWN, root: { ...root, mediaType: OCI_INDEX } };
    const ended = await importOf(layoutEntries([{ image, fullName: NAMED }]));
    expect(ended).toMatchObject({ code: 0, stderr: expect.stringContaining('1 image imported') as string });
    const secret = SECRET.blobs.filter(({ digest }) => digest !== shared.digest);
    const paths = ['manifests/v1', `manifests/${OWN.root.digest}`, `manifests/${SECRET.root.digest}`];
    expect(await answers(...paths, ...secret.map(({ digest }) => `blobs/${digest}`))).toEqual([
      200,
      200,
      404,
      ...secret.map(() => 404),
    ]);
  });

  test('and is a delta that leaves it out is believed, as whoever wrote the bundle is', async () => {
    const image = { image: OWN, upstream: 'docker.io', repository: 'library/app', tags: ['v1'] };
    const lacking = bundleEntries({ images: [image] }).filter(({ path }) => path !== SHARED.path);
    expect(await importOf(lacking)).toMatchObject({ code: 1, stdout: '' });
    expect(await importOf(bundleEntries({ images: [image], leftOut: [shared] }))).toMatchObject({ code: 0 });
    // By now it is its own.
    expect(await importOf(lacking)).toMatchObject({ code: 0 });
    expect(await answers(`blobs/${shared.digest}`)).toEqual([200]);
  });
});
