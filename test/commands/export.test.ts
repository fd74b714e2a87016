import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { expect, test } from 'vitest';
import { bundleManifest, bundleParts } from '../../src/bundle/bundle-manifest.ts';
import { type Digest, digestOf } from '../../src/oci/digest.ts';
import { OCI_INDEX } from '../../src/oci/media-type.ts';
import { buildImage, type BuiltImage } from '../support/images.ts';
import { entriesOf, exportScene, tarEntries } from './export-scene.ts';

const ONE = buildImage({ seed: 1, layerSizes: [2000, 1_500_000], base: { size: 700_000, seed: 99 } });
const TWO = buildImage({ seed: 2, base: { size: 700_000, seed: 99 }, flavour: 'docker' });
const MANY = buildImage({ seed: 3, platforms: ['linux/amd64', 'linux/arm64'] });
const APP = 'docker.io/library/app';

function blob({ digest }: { readonly digest: Digest }): string {
  return `blobs/${digest.replace(':', '/')}`;
}

function partsOf({
  root,
  manifests,
  blobs,
}: BuiltImage): readonly { readonly digest: Digest; readonly bytes: Buffer }[] {
  return [root, ...manifests, ...blobs];
}

function json(bytes: Buffer | undefined): unknown {
  return JSON.parse(String(bytes));
}

const v1 = { repository: 'library/app', tag: 'v1', image: ONE };
const v2 = { repository: 'library/app', tag: 'v2', image: TWO };
const many = { repository: 'library/many', tag: 'latest', image: MANY };

test('an export is an OCI layout with every byte of the images, what a reader needs first first', async () => {
  const { run, workingDir } = await exportScene([v1, v2, many]);
  const ended = await run('export', 'app:v2', 'many', 'app:v1', '--output', 'all.tar');
  expect(ended).toMatchObject({ code: 0, stdout: expect.stringContaining('all.tar: ') as string });
  const entries = await tarEntries(join(workingDir, 'all.tar'));
  expect([...entries.keys()].slice(0, 4)).toEqual([
    'oci-layout',
    'entrepot.json',
    'index.json',
    'manifest.json',
  ]);
  expect(json(entries.get('oci-layout'))).toEqual({ imageLayoutVersion: '1.0.0' });
  for (const image of [ONE, TWO, MANY])
    for (const part of partsOf(image)) expect(entries.get(blob(part))?.equals(part.bytes)).toBe(true);
  const blobs = new Set([ONE, TWO, MANY].flatMap((image) => partsOf(image).map(blob)));
  expect([...entries.keys()].slice(4).toSorted()).toEqual([...blobs].toSorted());
  // Manifests before anything that they list.
  const manifests = [ONE, TWO, MANY].flatMap(({ root, manifests: each }) => [root, ...each].map(blob));
  expect(new Set([...entries.keys()].slice(4, 4 + new Set(manifests).size))).toEqual(new Set(manifests));

  const names = [`${APP}:v1`, `${APP}:v2`, 'docker.io/library/many:latest'];
  expect(json(entries.get('index.json'))).toEqual({
    schemaVersion: 2,
    mediaType: OCI_INDEX,
    manifests: [ONE, TWO, MANY].map(({ root: { mediaType, digest, size } }, at) => ({
      mediaType,
      digest,
      size,
      annotations: { 'io.containerd.image.name': names[at], 'org.opencontainers.image.ref.name': names[at] },
    })),
  });
  const manifest = bundleManifest.parse(json(entries.get('entrepot.json')));
  expect(manifest.images.map(({ repository, tags, digest }) => ({ repository, tags, digest }))).toEqual([
    { repository: 'library/app', tags: ['v1'], digest: ONE.root.digest },
    { repository: 'library/app', tags: ['v2'], digest: TWO.root.digest },
    { repository: 'library/many', tags: ['latest'], digest: MANY.root.digest },
  ]);
  for (const { checkedAt } of manifest.images) expect(Math.abs(Date.now() - checkedAt)).toBeLessThan(60_000);
  expect(manifest.contents.map(([digest]) => blob({ digest }))).toEqual([...entries.keys()].slice(4));
  for (const [name, [digest, size]] of Object.entries(manifest.files)) {
    expect(digestOf(entries.get(name) ?? Buffer.alloc(0))).toBe(digest);
    expect(entries.get(name)).toHaveLength(size);
  }
});

test('for docker load one platform of each image is named, with its layers as often as it has them', async () => {
  const { run, workingDir } = await exportScene([v1, many]);
  await run('export', 'app:v1', 'many', '--platform', 'linux/arm64', '--output', 'arm.tar');
  const entries = await tarEntries(join(workingDir, 'arm.tar'));
  const [amd, arm] = MANY.manifests;
  expect(json(entries.get('manifest.json'))).toEqual(
    [
      { manifest: ONE.manifests[0], tag: `${APP}:v1` },
      { manifest: arm, tag: 'docker.io/library/many:latest' },
    ].map(({ manifest, tag }) => ({
      Config: manifest && blob(manifest.config),
      RepoTags: [tag],
      Layers: manifest?.layers.map(blob),
    })),
  );
  // The index stays as it is; what it lists for others is not there.
  expect(entries.get(blob(MANY.root))?.equals(MANY.root.bytes)).toBe(true);
  for (const part of amd === undefined ? [] : [amd, amd.config, ...amd.layers])
    expect(entries.has(blob(part))).toBe(false);
});

test('equal stores and requests give equal tars but for the time', async () => {
  const { run, workingDir } = await exportScene([v1, v2, many]);
  await run('export', 'app:v1', 'app:v2', 'many', '--output', 'one.tar');
  await run('export', 'many', 'app:v2', 'app:v1', '--output', 'two.tar');
  const [one, two] = [
    await tarEntries(join(workingDir, 'one.tar')),
    await tarEntries(join(workingDir, 'two.tar')),
  ];
  expect([...one.keys()]).toEqual([...two.keys()]);
  for (const [name, bytes] of one)
    if (name !== 'entrepot.json') expect(two.get(name)?.equals(bytes)).toBe(true);
});

test('a directory is written like a tar, and is there only when it is whole', async () => {
  const { run, workingDir } = await exportScene([v1, many]);
  expect(await run('export', 'docker.io/library/*', '--output', 'layout')).toMatchObject({ code: 0 });
  for (const { digest, bytes } of [...partsOf(ONE), ...partsOf(MANY)])
    expect((await readFile(join(workingDir, 'layout', blob({ digest })))).equals(bytes)).toBe(true);
  expect((await readdir(join(workingDir, 'layout'))).toSorted()).toEqual([
    'blobs',
    'entrepot.json',
    'index.json',
    'manifest.json',
    'oci-layout',
  ]);
  expect(await readdir(workingDir)).toEqual(['layout']);
});

test('what an image lacks is named with how to get it, and all others are written', async () => {
  const [amd, arm] = MANY.manifests;
  const only = ({ digest }: { readonly digest: Digest }): boolean =>
    digest === MANY.root.digest ||
    (amd !== undefined && [amd, amd.config, ...amd.layers].some((part) => part.digest === digest));
  const halfOf = ({ digest }: { readonly digest: Digest }): boolean => digest !== TWO.blobs.at(-1)?.digest;
  const { run, workingDir } = await exportScene([v1, { ...v2, only: halfOf }, { ...many, only }]);
  const ended = await run('export', 'app:v1', 'app:v2', 'app:v3', 'many', '--output', 'some.tar');
  expect(ended.code).toBe(1);
  expect(ended.stderr).toContain(
    `${APP}:v3: it is not in the cache; get it with: entrepot warm ${APP}:v3; there is v1`,
  );
  expect(ended.stderr).toMatch(
    /app:v2: 1 of its parts are not in the cache .*; get it with: entrepot warm .*app:v2/,
  );
  expect(ended.stderr).toContain(TWO.blobs.at(-1)?.digest);
  expect(ended.stderr).toMatch(/many:latest: linux\/arm64 is not in the cache; .*--platform linux\/amd64/);
  expect(ended.stderr).toContain(arm?.digest);
  const entries = await tarEntries(join(workingDir, 'some.tar'));
  expect((json(entries.get('index.json')) as { manifests: unknown[] }).manifests).toHaveLength(1);

  expect(await run('export', 'many', '--platform', 'linux/amd64', '--output', 'amd.tar')).toMatchObject({
    code: 0,
  });
  const none = await run('export', 'many', '--platform', 'linux/s390x', '--output', 'none.tar');
  expect(none).toMatchObject({ code: 1, stdout: '' });
  expect(none.stderr).toContain('there is linux/amd64, linux/arm64');
  expect(existsSync(join(workingDir, 'none.tar'))).toBe(false);
  expect((await readdir(workingDir)).toSorted()).toEqual(['amd.tar', 'some.tar']);
});

test('what the other side has is left out of a delta, and said in it', async () => {
  const { run, workingDir } = await exportScene([v1, v2]);
  await run('export', 'app:v1', '--output', 'full.tar');
  // The other side has the first image alone.
  const other = await exportScene([v1]);
  expect(await other.run('inventory', '--output', join(workingDir, 'other.inventory'))).toMatchObject({
    code: 0,
  });
  const args = [
    'export',
    'app:v1',
    'app:v2',
    '--missing-only-from',
    'other.inventory',
    '--output',
    'delta.tar',
  ];
  expect(await run(...args)).toMatchObject({ code: 0 });
  const entries = await tarEntries(join(workingDir, 'delta.tar'));
  const there = new Set<Digest>(ONE.blobs.map(({ digest }) => digest));
  for (const { digest } of ONE.blobs) expect(entries.has(blob({ digest }))).toBe(false);
  for (const { digest } of TWO.blobs) expect(entries.has(blob({ digest }))).toBe(!there.has(digest));
  // Manifests are small, and say what belongs together.
  for (const { digest, bytes } of [ONE.root, TWO.root])
    expect(entries.get(blob({ digest }))?.equals(bytes)).toBe(true);
  expect(entries.has('manifest.json')).toBe(false);
  const { leftOut } = bundleManifest.parse(json(entries.get('entrepot.json')));
  expect(new Set(leftOut.map(([digest]) => digest))).toEqual(there);
});

test('parts are of the size that was asked for, each with its digest, and together the tar', async () => {
  const { run, workingDir } = await exportScene([v1, v2]);
  expect(
    await run('export', 'app:v1', 'app:v2', '--output', 'b.tar', '--max-part-size', '1MiB'),
  ).toMatchObject({ code: 0 });
  const list = bundleParts.parse(json(await readFile(join(workingDir, 'b.tar.parts.json'))));
  expect(list.parts.length).toBeGreaterThan(1);
  const parts = await Promise.all(list.parts.map(({ name }) => readFile(join(workingDir, name))));
  for (const [at, { sizeBytes, digest, name }] of list.parts.entries()) {
    expect(name).toBe(`b.tar.00${at + 1}`);
    expect(parts[at]).toHaveLength(sizeBytes);
    expect(sizeBytes).toBeLessThanOrEqual(1024 * 1024);
    expect(digestOf(parts[at] ?? Buffer.alloc(0))).toBe(digest);
  }
  const whole = Buffer.concat(parts);
  expect(whole).toHaveLength(list.sizeBytes);
  for (const { digest, bytes } of [...partsOf(ONE), ...partsOf(TWO)])
    expect(entriesOf(whole).get(blob({ digest }))?.equals(bytes)).toBe(true);
  expect((await readdir(workingDir)).filter((name) => name.endsWith('.partial') || name === 'b.tar')).toEqual(
    [],
  );

  // A smaller one in its place leaves none of the former's parts.
  expect((await run('export', 'app:v2', '--output', 'b.tar', '--max-part-size', '1MiB')).stderr).toContain(
    '--force replaces it',
  );
  await run('export', 'app:v2', '--output', 'b.tar', '--max-part-size', '1MiB', '--force');
  expect((await readdir(workingDir)).toSorted()).toEqual(['b.tar.001', 'b.tar.parts.json']);
});

test('split by images there is one tar for each name', async () => {
  const { run, workingDir } = await exportScene([v1, v2, many]);
  expect(await run('export', 'docker.io', '--split-images', '--output', 'images')).toMatchObject({ code: 0 });
  const files = (await readdir(join(workingDir, 'images'))).toSorted();
  expect(files).toEqual([
    'docker.io_library_app_v1.tar',
    'docker.io_library_app_v2.tar',
    'docker.io_library_many_latest.tar',
  ]);
  for (const file of files) {
    const entries = await tarEntries(join(workingDir, 'images', file));
    expect((json(entries.get('index.json')) as { manifests: unknown[] }).manifests).toHaveLength(1);
  }
});

test('images are named by tags that fit, by files, by patterns and by what was served', async () => {
  const { run, workingDir } = await exportScene([v1, v2, many]);
  await writeFile(join(workingDir, 'images.txt'), '# of the site\napp:v2\n');
  const named = async (...args: readonly string[]): Promise<readonly string[]> => {
    const ended = await run('export', ...args, '--output', 'some.tar', '--force');
    expect(ended).toMatchObject({ code: 0 });
    const entries = await tarEntries(join(workingDir, 'some.tar'));
    const { images } = bundleManifest.parse(json(entries.get('entrepot.json')));
    return images.map(({ repository, tags }) => `${repository}:${tags.join()}`);
  };
  expect(await named('app', '--tags', 'v[12]')).toEqual(['library/app:v1', 'library/app:v2']);
  expect(await named('many', '--from', 'images.txt')).toEqual(['library/app:v2', 'library/many:latest']);
  expect(await named('docker.io/library/*:v1')).toEqual(['library/app:v1']);
  expect(await named(`app@${TWO.root.digest}`)).toEqual(['library/app:']);
  expect(await named('--seen-within', '1h')).toHaveLength(3);
  const none = await run('export', 'app', '--tags', '>=9', '--output', 'none.tar');
  expect(none).toMatchObject({ code: 1, stderr: expect.stringContaining('fits --tags >=9') as string });
  const other = await run('export', 'docker.io/other/*', '--output', 'none.tar');
  expect(other).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('nothing in the cache fits') as string,
  });
  const missing = await run('export', 'app:v1', '--from', 'no-such.txt', '--output', 'app.tar');
  expect(missing).toMatchObject({ code: 1, stderr: expect.stringContaining('no-such.txt') as string });
  expect(existsSync(join(workingDir, 'app.tar'))).toBe(true);
});

test('an output that is there is replaced only when that is asked for, and a directory only when it is a layout', async () => {
  const { run, workingDir } = await exportScene([v1]);
  await writeFile(join(workingDir, 'there.tar'), 'mine');
  const refused = await run('export', 'app:v1', '--output', 'there.tar');
  expect(refused).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('there.tar is there already: --force') as string,
  });
  expect(await readFile(join(workingDir, 'there.tar'), 'utf8')).toBe('mine');
  expect(await run('export', 'app:v1', '--output', 'there.tar', '--force')).toMatchObject({ code: 0 });
  expect((await tarEntries(join(workingDir, 'there.tar'))).has('oci-layout')).toBe(true);

  await mkdir(join(workingDir, 'home'));
  await writeFile(join(workingDir, 'home', 'letter'), 'mine');
  expect((await run('export', 'app:v1', '--output', 'home', '--force')).stderr).toContain('no OCI layout');
  expect(await readdir(join(workingDir, 'home'))).toEqual(['letter']);
  await mkdir(join(workingDir, 'home.tar'));
  expect((await run('export', 'app:v1', '--output', 'home.tar', '--force')).stderr).toContain(
    'it is a directory',
  );
  await run('export', 'app:v1', '--output', 'layout');
  expect(await run('export', 'app:v1', '--output', 'layout')).toMatchObject({ code: 1 });
  expect(await run('export', 'app:v1', '--output', 'layout', '--force')).toMatchObject({ code: 0 });
  expect((await readdir(workingDir)).toSorted()).toEqual(['home', 'home.tar', 'layout', 'there.tar']);
});

test('what only sounds like something that an export left is not taken away', async () => {
  const { run, workingDir } = await exportScene([v1]);
  const letter = join(workingDir, 'layout.former', 'letter');
  await mkdir(dirname(letter));
  await writeFile(letter, 'mine');
  const refused = await run('export', 'app:v1', '--output', 'layout');
  expect(refused).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('layout.former: it is in the way') as string,
  });
  expect(await readFile(letter, 'utf8')).toBe('mine');
  expect(await readdir(workingDir)).toEqual(['layout.former']);
});

test('what an interrupted export left is taken away, and said', async () => {
  const { run, workingDir } = await exportScene([v1]);
  await writeFile(join(workingDir, 'b.tar.partial'), 'half');
  await mkdir(join(workingDir, 'layout.partial'));
  for (const name of ['p.tar.001.partial', 'p.tar.002.partial', 'p.tar.parts.json.partial'])
    await writeFile(join(workingDir, name), 'half');
  for (const args of [['b.tar'], ['layout'], ['p.tar', '--max-part-size', '1MiB']]) {
    const ended = await run('export', 'app:v1', '--output', ...args);
    expect(ended).toMatchObject({ code: 0, stderr: expect.stringContaining('interrupted export') as string });
  }
  expect((await readdir(workingDir)).filter((name) => name.endsWith('.partial'))).toEqual([]);
});

test('content that turned out damaged while it was written is left out with its image, and the rest begins anew', async () => {
  const { run, workingDir, dataDir } = await exportScene([v1, v2]);
  const own = ONE.blobs.find(({ size }) => size > 1_000_000);
  const name = (await readdir(join(dataDir, 'content', 'v1', 'sha256'), { recursive: true })).find((path) =>
    path.endsWith(String(own?.digest.slice(-62))),
  );
  const path = join(dataDir, 'content', 'v1', 'sha256', String(name));
  const bytes = await readFile(path);
  bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 1;
  await writeFile(path, bytes);
  const ended = await run('export', 'app:v1', 'app:v2', '--output', 'rest.tar');
  expect(ended).toMatchObject({ code: 1, stderr: expect.stringContaining('begins anew') as string });
  expect(ended.stderr).toMatch(/app:v1: 1 of its parts are not in the cache/);
  const entries = await tarEntries(join(workingDir, 'rest.tar'));
  for (const { digest, bytes: right } of partsOf(TWO))
    expect(entries.get(blob({ digest }))?.equals(right)).toBe(true);
  expect((json(entries.get('index.json')) as { manifests: unknown[] }).manifests).toHaveLength(1);
});

test('events are told one a line with --json', async () => {
  const { run } = await exportScene([v1]);
  const { stdout, code } = await run('export', 'app:v1', 'app:v9', '--output', 'b.tar', '--json');
  const events = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { readonly event: string });
  expect(code).toBe(1);
  expect(events[0]).toMatchObject({ event: 'problem', name: `${APP}:v9` });
  expect(events.find(({ event }) => event === 'planned')).toMatchObject({
    images: 1,
    contents: ONE.blobs.length + 1,
  });
  expect(events.at(-1)).toMatchObject({ event: 'done', images: 1, files: 1, problems: 1 });
});

test('wrong words are refused before anything is opened', async () => {
  const { run, workingDir } = await exportScene([]);
  for (const [args, said] of [
    [['app:v1'], '--output'],
    [['--output', 'b.tar'], 'which images?'],
    [['app:v1', '--output', 'b.tar.gz'], '.tar or .tar.zst'],
    [['app:v1', '--output', '-'], '.tar or .tar.zst'],
    [['app:v1', '--output', 'b.tar', '--split-images'], 'directory'],
    [['app:v1', '--output', 'b.tar', '--max-part-size', '4'], 'from 1MiB on'],
    [['app:v1', '--output', 'b', '--max-part-size', '4GiB'], 'only a tar is split'],
    [['app:v1', '--output', 'b.tar', '--platform', 'lunix/amd64'], 'lunix/amd64'],
    [['App:v1', '--output', 'b.tar'], 'App:v1'],
  ] as const) {
    const { code, stderr } = await run('export', ...args);
    expect({ args, code, stderr }).toMatchObject({
      code: 2,
      stderr: expect.stringContaining(said) as string,
    });
  }
  for (const [args, said] of [
    [['--sign', 'none.key'], 'none.key: there is no such file'],
    [['--missing-only-from', 'none'], 'none: there is no such file'],
  ] as const) {
    const { code, stderr } = await run('export', 'app:v1', '--output', 'b.tar', ...args);
    expect({ args, code, stderr }).toMatchObject({
      code: 1,
      stderr: expect.stringContaining(said) as string,
    });
  }
  expect((await run('export', 'app:v1', '--output', 'no/such/b.tar')).code).toBe(1);
  expect(await readdir(workingDir)).toEqual([]);
});
