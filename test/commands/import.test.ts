import { createPrivateKey } from 'node:crypto';
import { mkdir, rename, truncate, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { newKeyPair } from '../../src/bundle/signature.ts';
import { runProgram } from '../../src/commands/program.ts';
import { digestOf } from '../../src/oci/digest.ts';
import { succeed } from '../support/child-program.ts';
import { closeAfterTest } from '../support/close-after-test.ts';
import { FakeRegistry } from '../support/fake-registry.ts';
import { fakeProcess } from '../support/fake-process.ts';
import { get } from '../support/http-get.ts';
import {
  blobEntry,
  bundleEntries,
  contentsOf,
  dockerSaveEntries,
  json,
  layoutEntries,
  layoutIndex,
  replaced,
} from '../support/image-archives.ts';
import { buildImage, type BuiltImage, buildReferrer, pushTo } from '../support/images.ts';
import { describeWith, programPath } from '../support/programs.ts';
import { type RunningApp, startApp } from '../support/running-app.ts';
import { tarArchive, type TarEntry } from '../support/tar-archive.ts';
import { pullImage } from '../cache/store-operations-contract.ts';

const MULTI = buildImage({ platforms: ['linux/amd64', 'linux/arm64'], layerSizes: [2000, 1_500_000] });
const ONE = buildImage({ seed: 2, base: { size: 3000, seed: 9 } });
const TWO = buildImage({ seed: 3, base: { size: 3000, seed: 9 } });

interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

interface Site {
  readonly dir: string;
  readonly write: (name: string, bytes: Uint8Array) => Promise<string>;
  readonly run: (...args: readonly string[]) => Promise<Ended>;
  /** What is served there without any upstream. */
  readonly serve: () => Promise<RunningApp>;
}

/** A place without upstreams that answer. */
async function site(config: Readonly<Record<string, unknown>> = {}): Promise<Site> {
  const { io } = await fakeProcess();
  const dir = io.workingDir;
  await writeFile(
    join(dir, 'config.yaml'),
    JSON.stringify({
      dataDir: './data',
      upstreams: { 'docker.io': { url: 'http://127.0.0.1:9' }, 'quay.io': { url: 'http://127.0.0.1:9' } },
      ...config,
    }),
  );
  return {
    dir,
    write: async (name, bytes) => {
      await mkdir(dirname(join(dir, name)), { recursive: true });
      await writeFile(join(dir, name), bytes);
      return name;
    },
    run: async (...args) => {
      const one = await fakeProcess();
      const own = { ...one.io, workingDir: dir, environment: {} };
      const code = await runProgram([...args, '--config', 'config.yaml'], own);
      return { code, stdout: one.stdout(), stderr: one.stderr() };
    },
    serve: async () =>
      startApp({
        dataDir: join(dir, 'data'),
        offline: true,
        upstreams: [
          { name: 'docker.io', url: 'http://127.0.0.1:9' },
          { name: 'quay.io', url: 'http://127.0.0.1:9' },
        ],
      }),
  };
}

function report({ stdout }: Ended): Record<string, unknown> {
  return JSON.parse(stdout) as Record<string, unknown>;
}

const LIBRARY_APP = { upstream: 'docker.io', repository: 'library/app', tags: ['v1'] };

describe('a bundle', () => {
  const entries = bundleEntries({ images: [{ image: MULTI, ...LIBRARY_APP }] });

  test('is imported, is served without an upstream, and imported again changes nothing', async () => {
    const { write, run, serve } = await site();
    await write('site.tar', tarArchive(entries));
    const first = await run('import', 'site.tar');
    expect(first.stderr).toMatch(/^1 image imported; \d+ blobs, .* taken in\.\n$/);
    expect(first.stdout).toMatch(/^docker\.io\/library\/app:v1 {2}sha256:[0-9a-f]{12} {2}imported\n$/);
    expect(first.code).toBe(0);
    const again = await run('import', 'site.tar');
    expect(again.stdout).toContain('here already');
    expect(again.stderr).toBe(
      '0 images imported, 1 here already; 0 blobs, 0 B taken in.\nNothing has changed.\n',
    );
    expect(await pullImage(await serve(), 'library/app', 'v1', MULTI)).toBe('STALE');
  });

  test('is imported through the server that holds the directory', async () => {
    const place = await site();
    const app = await place.serve();
    const { port } = new URL(app.adminUrl);
    const admin = { listen: `127.0.0.1:${port}` };
    const { write, run } = { ...place, run: place.run };
    await writeFile(
      join(place.dir, 'config.yaml'),
      JSON.stringify({ dataDir: './data', admin, upstreams: { 'docker.io': { url: 'http://127.0.0.1:9' } } }),
    );
    await write('site.tar', tarArchive(entries));
    expect(await run('import', 'site.tar')).toMatchObject({ code: 0 });
    expect(await pullImage(app, 'library/app', 'v1', MULTI)).toBe('STALE');
  });

  test('that is compressed is imported, too', async () => {
    const { write, run } = await site();
    await write('site.tar.gz', gzipSync(tarArchive(entries)));
    expect(await run('import', 'site.tar.gz')).toMatchObject({ code: 0 });
  });

  test('says what it would do, and does nothing, with --dry-run', async () => {
    const { write, run } = await site();
    await write('site.tar', tarArchive(entries));
    await run('import', 'site.tar');
    await write(
      'more.tar',
      tarArchive(bundleEntries({ images: [{ image: ONE, ...LIBRARY_APP, tags: ['v2'] }] })),
    );
    const planned = await run('import', 'more.tar', '--dry-run', '--json');
    expect(report(planned)).toMatchObject({ added: 1, blobs: 0, dryRun: true });
    expect(report(await run('images', '--json'))['images']).toHaveLength(1);
  });

  test('leaves out what is here already, and says what is missing where it is not', async () => {
    const { write, run } = await site();
    const shared = TWO.blobs.find(({ digest }) => ONE.blobs.some((blob) => blob.digest === digest));
    if (shared === undefined) throw new Error('they share a layer');
    const delta = bundleEntries({
      images: [{ image: TWO, ...LIBRARY_APP, tags: ['v2'] }],
      leftOut: [shared],
    });
    await write('delta.tar', tarArchive(delta));
    const without = await run('import', 'delta.tar');
    expect(without.code).toBe(1);
    expect(without.stderr).toContain(
      `delta.tar: blobs/sha256/${shared.digest.slice(7)}: was left out because the other side was to have it`,
    );
    expect(report(await run('images', '--json'))['images']).toEqual([]);
    await write('full.tar', tarArchive(bundleEntries({ images: [{ image: ONE, ...LIBRARY_APP }] })));
    await run('import', 'full.tar');
    const imported = await run('import', 'delta.tar');
    expect(imported.code).toBe(0);
    expect(imported.stdout).toContain('imported (1 blob of it was here, and not in the archive)');
  });

  test('of an upstream that is not here says what to do, and goes where --upstream says', async () => {
    const { write, run } = await site();
    const foreign = { upstream: 'corp', repository: 'team/app', tags: ['v1'] };
    await write('site.tar', tarArchive(bundleEntries({ images: [{ image: ONE, ...foreign }] })));
    const refused = await run('import', 'site.tar');
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain(
      'corp/team/app: corp is no upstream of the configuration: add it there, or say where it belongs with --upstream NAME',
    );
    const taken = await run('import', 'site.tar', '--upstream', 'quay.io');
    expect(taken.stdout).toMatch(/^quay\.io\/team\/app:v1 /);
  });
});

describe('a bundle and its signature', () => {
  const { privatePem, publicPem } = newKeyPair();
  const other = newKeyPair();
  const signed = bundleEntries({
    images: [{ image: ONE, ...LIBRARY_APP }],
    signingKey: createPrivateKey(privatePem),
  });

  test('is taken with the right key alone', async () => {
    const { write, run } = await site({ bundle: { publicKeys: ['./own.pub'] } });
    await write('own.pub', Buffer.from(publicPem));
    await write('other.pub', Buffer.from(other.publicPem));
    await write('signed.tar', tarArchive(signed));
    await write('packed.tar.gz', gzipSync(tarArchive(signed)));
    await write('unsigned.tar', tarArchive(bundleEntries({ images: [{ image: ONE, ...LIBRARY_APP }] })));
    await write(
      'layout.tar',
      tarArchive(layoutEntries([{ image: ONE, fullName: 'docker.io/library/app:v1' }])),
    );
    for (const [file, options, sentence] of [
      ['signed.tar', ['--public-key', 'other.pub'], 'was signed with another key'],
      ['unsigned.tar', [], 'is not signed'],
      ['layout.tar', [], 'is not signed'],
    ] as const) {
      const ended = await run('import', file, ...options);
      expect([ended.code, ended.stdout]).toEqual([1, '']);
      expect(ended.stderr).toContain(sentence);
    }
    expect(report(await run('images', '--json'))['images']).toEqual([]);
    expect(await run('import', 'signed.tar')).toMatchObject({ code: 0 });
    expect(await run('import', 'packed.tar.gz')).toMatchObject({ code: 0 });
  });

  test('whose documents were changed after it was signed is refused', async () => {
    const { write, run } = await site();
    await write('own.pub', Buffer.from(publicPem));
    const changed = replaced(
      signed,
      (path) => path === 'entrepot.json',
      (bytes) => Buffer.from(String(bytes).replace('"v1"', '"v2"')),
    );
    await write('changed.tar', tarArchive(changed));
    const ended = await run('import', '--public-key', 'own.pub', 'changed.tar');
    expect(ended).toMatchObject({ code: 1, stdout: '' });
    expect(ended.stderr).toContain(
      'changed.tar: was signed with another key than those that are configured, or altered',
    );
  });

  test('is not looked for with something that is no key', async () => {
    const { write, run } = await site();
    await write('own.key', Buffer.from(privatePem));
    const ended = await run('import', 'x.tar', '--public-key', 'own.key');
    expect(ended.code).toBe(2);
    expect(ended.stderr).toContain('accepted is an Ed25519 public key');
    expect(ended.stderr).not.toContain('PRIVATE');
  });
});

describe('an OCI layout', () => {
  test('as a directory or a tar with its index last keeps its names', async () => {
    const { write, run } = await site();
    for (const { path, bytes = Buffer.alloc(0) } of layoutEntries([
      { image: ONE, fullName: 'quay.io/org/app:v1' },
    ]))
      await write(join('layout', path), bytes);
    expect((await run('import', 'layout')).stdout).toMatch(/^quay\.io\/org\/app:v1 .* imported\n$/);
    await write('two.tar', tarArchive(layoutEntries([{ image: TWO, fullName: 'docker.io/library/app:v2' }])));
    expect((await run('import', 'two.tar')).stdout).toMatch(/^docker\.io\/library\/app:v2 .* imported\n$/);
  });

  test('that has a tag alone for a name is called as --as says', async () => {
    const { write, run } = await site();
    await write('app.tar', tarArchive(layoutEntries([{ image: ONE, refName: 'v7' }])));
    const refused = await run('import', 'app.tar');
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain('it is called v7 alone, without a repository: give it with --as IMAGE');
    expect((await run('import', 'app.tar', '--as', 'app')).stdout).toMatch(/^docker\.io\/library\/app:v7 /);
    expect((await run('import', 'app.tar', '--as', 'quay.io/org/app:v8')).stdout).toMatch(
      /^quay\.io\/org\/app:v8 /,
    );
  });

  test('with signatures beside its images keeps them together', async () => {
    const { write, run, serve } = await site();
    const { manifest, blobs } = buildReferrer(ONE.root, { artifactType: 'application/x-sig', payload: 's' });
    const signature: BuiltImage = { root: manifest, index: undefined, manifests: [], blobs };
    const entries = layoutEntries([
      { image: ONE, fullName: 'docker.io/library/app:v1' },
      { image: signature },
    ]);
    await write('app.tar', tarArchive(entries));
    expect(await run('import', 'app.tar')).toMatchObject({ code: 0 });
    const { url } = await serve();
    const answer = await get(`${url}/v2/library/app/referrers/${ONE.root.digest}`);
    expect(JSON.parse(answer.body.toString())).toMatchObject({ manifests: [{ digest: manifest.digest }] });
  });

  test('without some platforms of an index is imported, and they are told', async () => {
    const { write, run } = await site();
    const [amd64, arm64] = MULTI.manifests;
    if (amd64 === undefined || arm64 === undefined) throw new Error('it has two platforms');
    const some = [MULTI.root, amd64, amd64.config, ...amd64.layers];
    const entries = [
      json('oci-layout', { imageLayoutVersion: '1.0.0' }),
      layoutIndex([{ image: MULTI, fullName: 'docker.io/library/app:v1' }]),
      ...some.map(blobEntry),
    ];
    await write('app.tar', tarArchive(entries));
    const ended = await run('import', 'app.tar', '--json');
    expect(ended.code).toBe(0);
    expect(report(ended)).toMatchObject({ images: [{ absent: [arm64.digest], outcome: 'added' }] });
  });
});

describe('an archive of docker save', () => {
  const tags = ['app:v1', 'quay.io/org/app:v1'];

  test('before Docker 25 gets a manifest, always the same one', async () => {
    const { write, run, serve } = await site();
    await write(
      'app.tar',
      tarArchive(
        dockerSaveEntries([
          { image: ONE, tags },
          { image: TWO, tags: ['app:v2'] },
        ]),
      ),
    );
    const ended = await run('import', 'app.tar', '--json');
    expect(ended.stderr).toBe('');
    expect(report(ended)).toMatchObject({
      failures: [],
      added: 3,
      images: [
        { name: 'docker.io/library/app:v1', isMade: true },
        { name: 'quay.io/org/app:v1', isMade: true },
        { name: 'docker.io/library/app:v2', isMade: true },
      ],
    });
    const again = report(await run('import', 'app.tar', '--json'));
    expect(again).toMatchObject({ added: 0, present: 3, blobs: 0 });
    const app = await serve();
    const answer = await get(`${app.url}/v2/library/app/manifests/v1`);
    const manifest = JSON.parse(answer.body.toString()) as {
      layers: { digest: string; mediaType: string }[];
    };
    expect(manifest).toMatchObject({
      mediaType: 'application/vnd.docker.distribution.manifest.v2+json',
      config: { digest: ONE.manifests[0]?.config.digest },
    });
    for (const { digest, mediaType } of manifest.layers) {
      expect(mediaType).toBe('application/vnd.docker.image.rootfs.diff.tar');
      const blob = await get(`${app.url}/v2/library/app/blobs/${digest}`);
      expect(digestOf(blob.body)).toBe(digest);
    }
  });

  test('of a newer Docker is imported as the OCI layout that it is, too', async () => {
    const { write, run } = await site();
    const both: readonly TarEntry[] = [
      ...layoutEntries([{ image: ONE, fullName: 'docker.io/library/app:v1', refName: 'v1' }]),
      json('manifest.json', [{ Config: 'blobs/sha256/x', RepoTags: ['app:v1'], Layers: [] }]),
      json('repositories', { app: {} }),
    ];
    await write('app.tar', tarArchive(both));
    const ended = report(await run('import', 'app.tar', '--json'));
    expect(ended).toMatchObject({ images: [{ digest: ONE.root.digest, isMade: false }], failures: [] });
  });

  test.each([
    [
      'a layer',
      /layer\.tar$/,
      /layer\.tar was altered: its bytes are not those that [0-9a-f]{64}\.json names/,
    ],
    ['a config', /[0-9a-f]{64}\.json$/, /[0-9a-f]{64}\.json was altered/],
  ])('with %s altered is refused with its name, and the others are imported', async (_, which, sentence) => {
    const { write, run } = await site();
    const third = buildImage({ seed: 5 });
    const entries = dockerSaveEntries([
      { image: ONE, tags: ['one:v1'] },
      { image: third, tags: ['app:v2'] },
    ]);
    const first = entries.find(({ path }) => which.test(path))?.path;
    const altered = replaced(
      entries,
      (path) => path === first,
      (bytes) => bytes.fill(1, 10, 20),
    );
    await write('app.tar', tarArchive(altered));
    const ended = await run('import', 'app.tar');
    expect(ended.code).toBe(1);
    expect(ended.stderr).toMatch(sentence);
    expect(ended.stdout).toMatch(/^docker\.io\/library\/app:v2 /);
  });
});

describe('an import', () => {
  const entries = bundleEntries({
    images: [
      { image: ONE, ...LIBRARY_APP },
      { image: MULTI, ...LIBRARY_APP, tags: ['multi'] },
    ],
  });
  const blob = blobEntry(MULTI.manifests[0]?.layers[1] ?? MULTI.root);

  test.each([
    [
      'an altered blob',
      (all: readonly TarEntry[]) =>
        replaced(
          all,
          (path) => path === blob.path,
          (bytes) => bytes.fill(0),
        ),
      'was altered: its bytes are not those of its digest',
    ],
    [
      'a blob of another size',
      (all: readonly TarEntry[]) =>
        replaced(
          all,
          (path) => path === blob.path,
          () => Buffer.alloc(3),
        ),
      'has 3 bytes, and sha256:',
    ],
    [
      'a missing blob',
      (all: readonly TarEntry[]) => all.filter(({ path }) => path !== blob.path),
      'is missing, and not here either',
    ],
  ])('with %s names it, and imports the rest', async (_, change, sentence) => {
    const { write, run, serve } = await site();
    await write('site.tar', tarArchive(change(entries)));
    const ended = await run('import', 'site.tar');
    expect(ended.code).toBe(1);
    expect(ended.stderr).toContain('site.tar: ');
    expect(ended.stderr).toContain(blob.path);
    expect(ended.stderr).toContain(sentence);
    // The other platform of it is whole, and yet it is not what it says that it is.
    expect(ended.stdout).toMatch(/^docker\.io\/library\/app:v1 .*imported\n$/);
    expect(ended.stderr).toContain('docker.io/library/app:multi: ');
    expect(await pullImage(await serve(), 'library/app', 'v1', ONE)).toBe('STALE');
  });

  test('of a store that is too small says so before anything is taken in', async () => {
    const { write, run, dir } = await site({ cache: { maxSize: '1MiB' } });
    await write('site.tar', tarArchive(entries));
    const ended = await run('import', 'site.tar');
    expect(ended).toMatchObject({ code: 1, stdout: '' });
    expect(ended.stderr).toMatch(
      /site\.tar: the store is too small: \d+ bytes are to come in, and room can be made for \d+/,
    );
    expect(report(await run('status', '--json'))).toMatchObject({ blobs: 0, bytes: 0 });
    expect(dir).not.toBe('');
  });

  test('gives up what was here before, and nothing that it brought', async () => {
    const old = buildImage({ seed: 40, layerSizes: [1_000_000, 900_000] });
    const { write, run } = await site({ cache: { maxSize: '4MiB' } });
    await write(
      'old.tar',
      tarArchive(bundleEntries({ images: [{ image: old, ...LIBRARY_APP, tags: ['old'] }] })),
    );
    expect((await run('import', 'old.tar')).code).toBe(0);
    const sizes = { layerSizes: [1_200_000, 1_100_000, 900_000] };
    const large = buildImage({ seed: 41, ...sizes });
    await write(
      'new.tar',
      tarArchive(bundleEntries({ images: [{ image: large, ...LIBRARY_APP, tags: ['new'] }] })),
    );
    expect(await run('import', 'new.tar')).toMatchObject({ code: 0 });
    const listed = report(await run('images', '--json'))['images'] as { tags: string[]; blobs: number }[];
    expect(listed.find(({ tags }) => tags.includes('new'))?.blobs).toBe(contentsOf([large]).length);
  });

  test('does not give up what is here and part of it', async () => {
    const base = { size: 1_200_000, seed: 7 };
    const { write, run } = await site({ cache: { maxSize: '4MiB' } });
    const images = {
      old: buildImage({ seed: 50, base, layerSizes: [300_000] }),
      filler: buildImage({ seed: 51, layerSizes: [1_500_000] }),
      new: buildImage({ seed: 52, base, layerSizes: [900_000, 800_000] }),
    };
    for (const [tag, image] of Object.entries(images)) {
      await write(
        `${tag}.tar`,
        tarArchive(bundleEntries({ images: [{ image, ...LIBRARY_APP, tags: [tag] }] })),
      );
      expect(await run('import', `${tag}.tar`)).toMatchObject({ code: 0 });
    }
    const listed = report(await run('images', '--json'))['images'] as { tags: string[]; blobs: number }[];
    expect(listed.find(({ tags }) => tags.includes('new'))?.blobs).toBe(contentsOf([images.new]).length);
  });

  test('that was cut off is refused, and goes on where it was', async () => {
    const { write, run, dir } = await site();
    const whole = tarArchive(entries);
    await write('site.tar', whole);
    await truncate(join(dir, 'site.tar'), Math.floor(whole.length / 2));
    const cut = await run('import', 'site.tar');
    expect(cut).toMatchObject({ code: 1, stdout: '' });
    expect(cut.stderr).toMatch(/site\.tar: it is cut off in the middle of/);
    await write('site.tar.gz', gzipSync(whole).subarray(0, 900_000));
    const packed = await run('import', 'site.tar.gz');
    expect(packed.stderr).toMatch(/site\.tar\.gz: it is cut off or damaged/);
    await write('site.tar', whole);
    expect((await run('import', 'site.tar')).code).toBe(0);
  });

  test('of several archives goes on after one that is wrong', async () => {
    const { write, run } = await site();
    await write('text.tar', Buffer.from('hello'));
    await write('right.tar', tarArchive(entries));
    const ended = await run('import', 'text.tar', 'absent.tar', 'right.tar');
    expect(ended.code).toBe(1);
    expect(ended.stderr).toMatch(/text\.tar: is none of what is read/);
    expect(ended.stderr).toMatch(/absent\.tar: there is no such file/);
    expect(ended.stdout.split('\n')).toHaveLength(3);
  });

  test('while a client pulls the same ends well for both', async () => {
    const registry = closeAfterTest(await FakeRegistry.start());
    pushTo(registry, { repository: 'library/app', tag: 'multi', image: MULTI });
    const place = await site();
    const app = await startApp({
      dataDir: join(place.dir, 'data'),
      upstreams: [{ name: 'docker.io', url: registry.url }],
    });
    const { port } = new URL(app.adminUrl);
    await writeFile(
      join(place.dir, 'config.yaml'),
      JSON.stringify({
        dataDir: './data',
        admin: { listen: `127.0.0.1:${port}` },
        upstreams: { 'docker.io': { url: registry.url } },
      }),
    );
    await place.write('site.tar', tarArchive(entries));
    const [ended] = await Promise.all([
      place.run('import', 'site.tar'),
      pullImage(app, 'library/app', 'multi', MULTI),
      pullImage(app, 'library/app', 'multi', MULTI),
    ]);
    expect(ended.code).toBe(0);
    const listed = report(await place.run('images', '--json'))['images'] as { tags: string[] }[];
    expect(listed.flatMap(({ tags }) => tags).toSorted()).toEqual(['multi', 'v1']);
    expect(report(await place.run('verify', '--json'))).toMatchObject({ damaged: [], unreadable: [] });
  });
});

describe('parts of a bundle', () => {
  const whole = tarArchive(bundleEntries({ images: [{ image: ONE, ...LIBRARY_APP }] }));
  const size = Math.ceil(whole.length / 3);
  const parts = [0, 1, 2].map((at) => ({
    name: `site.tar.00${at + 1}`,
    bytes: whole.subarray(at * size, (at + 1) * size),
  }));

  async function written(): Promise<Site> {
    const place = await site();
    for (const { name, bytes } of parts) await place.write(name, bytes);
    const manifest = {
      entrepotParts: 1,
      name: 'site.tar',
      sizeBytes: whole.length,
      parts: parts.map(({ name, bytes }) => ({ name, sizeBytes: bytes.length, digest: digestOf(bytes) })),
    };
    await place.write('site.tar.parts.json', Buffer.from(JSON.stringify(manifest)));
    return place;
  }

  test.each([['site.tar'], ['site.tar.001'], ['site.tar.parts.json'], ['site.tar.003', 'site.tar.001']])(
    'are put together by any of them: %s',
    async (...files) => {
      const { run } = await written();
      expect(await run('import', ...files, '--json')).toMatchObject({ code: 0 });
    },
  );

  test('in several directories are found when each is named', async () => {
    const { run, dir, write } = await written();
    await rename(join(dir, 'site.tar.002'), join(dir, 'x'));
    await write('other/site.tar.002', parts[1]?.bytes ?? Buffer.alloc(0));
    const missing = await run('import', 'site.tar.001');
    expect(missing.stderr).toMatch(/site\.tar: these parts are missing: site\.tar\.002\./);
    expect(await run('import', 'site.tar.001', 'other/site.tar.002')).toMatchObject({ code: 0 });
  });

  test('that are altered or cut off are all named, and nothing is imported', async () => {
    const { run, write } = await written();
    await write('site.tar.001', Buffer.from(parts[0]?.bytes ?? []).fill(7, 100, 110));
    await write('site.tar.003', (parts[2]?.bytes ?? Buffer.alloc(0)).subarray(1));
    const ended = await run('import', 'site.tar');
    expect(ended).toMatchObject({ code: 1, stdout: '' });
    expect(ended.stderr).toMatch(/site\.tar\.001: was altered; .*site\.tar\.003: has \d+ bytes, and not \d+/);
    expect(report(await run('status', '--json'))).toMatchObject({ blobs: 0 });
  });

  test('of which nothing says what they are are not taken for an archive', async () => {
    const { run, dir } = await written();
    await rename(join(dir, 'site.tar.parts.json'), join(dir, 'x'));
    const ended = await run('import', 'site.tar.001');
    expect(ended.code).toBe(1);
    expect(ended.stderr).toContain('site.tar.parts.json is missing: it says what the parts are');
  });
});

describeWith({ programs: ['zstd'] }, 'a tar packed with zstd', () => {
  test('is imported', async () => {
    const { write, run, dir } = await site();
    await write(
      'app.tar',
      tarArchive(layoutEntries([{ image: MULTI, fullName: 'docker.io/library/app:v1' }])),
    );
    await succeed(programPath('zstd'), ['--quiet', '--rm', 'app.tar'], { workingDir: dir });
    expect(await run('import', 'app.tar.zst')).toMatchObject({ code: 0 });
    await truncate(join(dir, 'app.tar.zst'), 500_000);
    expect((await run('import', 'app.tar.zst')).stderr).toContain('app.tar.zst: it is cut off or damaged');
  });
});
