import { readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import type { EvictEvent, ImageEntry, PurgeEvent, VerifyEvent } from '../../src/cache/store-events.ts';
import type { ImageSelection, StoreOperations } from '../../src/cache/store-operations.ts';
import type { Digest } from '../../src/oci/digest.ts';
import { parseRepositoryName, parseTag } from '../../src/oci/reference.ts';
import type { FakeRegistry } from '../support/fake-registry.ts';
import { get } from '../support/http-get.ts';
import { buildImage, type BuiltImage, pushTo } from '../support/images.ts';
import type { RunningApp } from '../support/running-app.ts';
import { SOON } from '../support/soon.ts';

/** A product and its operations, which may need the product to be away. */
export interface OperationsSubject {
  readonly registry: FakeRegistry;
  readonly dataDir: string;
  /** It runs then. */
  app(): Promise<RunningApp>;
  /** For one use at a time: `app` may end them. */
  operations(): Promise<StoreOperations>;
}

const never = new AbortController().signal;
const APP = parseRepositoryName('library/app');

export function selected(
  repository: string,
  reference: { tag?: string; digest?: Digest } = {},
): ImageSelection {
  const { tag, digest } = reference;
  return {
    upstream: 'docker.io',
    repository: parseRepositoryName(repository),
    ...(tag !== undefined && { reference: { tag: parseTag(tag) } }),
    ...(digest !== undefined && { reference: { digest } }),
  };
}

export async function all<T>(steps: AsyncIterable<T>): Promise<T[]> {
  const told: T[] = [];
  for await (const step of steps) told.push(step);
  return told;
}

/** All of an image through the cache. @returns how its tag was served */
export async function pullImage(
  { url }: RunningApp,
  repository: string,
  tag: string,
  { manifests, blobs, root }: BuiltImage,
): Promise<string> {
  const base = `${url}/v2/${repository}`;
  const first = await get(`${base}/manifests/${tag}`, { headers: { accept: root.mediaType } });
  expect(first.status).toBe(200);
  for (const { digest, mediaType } of manifests)
    expect((await get(`${base}/manifests/${digest}`, { headers: { accept: mediaType } })).status).toBe(200);
  for (const { digest, bytes } of blobs) {
    const answer = await get(`${base}/blobs/${digest}`);
    expect(answer.body.equals(bytes)).toBe(true);
  }
  return String(first.headers['x-cache']);
}

/** Digests of the committed files. */
export async function files(dataDir: string): Promise<readonly string[]> {
  const root = join(dataDir, 'content', 'v1', 'sha256');
  const names = await readdir(root, { recursive: true, withFileTypes: true });
  return names.filter((entry) => entry.isFile()).map(({ name }) => name.slice(-64));
}

function isThere(found: readonly string[], { digest }: { readonly digest: Digest }): boolean {
  return found.includes(digest.slice(-64));
}

async function filePath(dataDir: string, { digest }: { readonly digest: Digest }): Promise<string> {
  const root = join(dataDir, 'content', 'v1', 'sha256');
  const names = await readdir(root, { recursive: true });
  const name = names.find((path) => path.endsWith(digest.slice(-62)) && !path.endsWith('/'));
  if (name === undefined) throw new Error(`${digest} has no file`);
  return join(root, name);
}

async function listed(subject: OperationsSubject, selection: ImageSelection = {}): Promise<ImageEntry[]> {
  return all((await subject.operations()).images(selection, never));
}

async function purged(
  subject: OperationsSubject,
  selection: ImageSelection,
  dryRun = false,
): Promise<PurgeEvent[]> {
  return all((await subject.operations()).purge(selection, { dryRun }, never));
}

function victims(events: readonly EvictEvent[]): readonly string[] {
  return events.flatMap((event) => (event.event === 'victim' ? [event.digest] : [])).toSorted();
}

/** What every StoreOperations must do. `start` gives a product whose upstream docker.io is the fake registry. */
export function storeOperationsContract(name: string, start: () => Promise<OperationsSubject>): void {
  const one = buildImage({ seed: 1, base: { size: 3000, seed: 99 } });
  const two = buildImage({ seed: 2, base: { size: 3000, seed: 99 } });
  const shared = one.blobs.find(({ digest }) => two.blobs.some((blob) => blob.digest === digest));

  const withBoth = async (): Promise<OperationsSubject> => {
    const subject = await start();
    pushTo(subject.registry, { repository: 'library/app', tag: 'v1', image: one });
    pushTo(subject.registry, { repository: 'library/app', tag: 'v2', image: two });
    const app = await subject.app();
    await pullImage(app, 'library/app', 'v1', one);
    await pullImage(app, 'library/app', 'v2', two);
    const count = new Set([...one.blobs, ...two.blobs, one.root, two.root].map(({ digest }) => digest)).size;
    await vi.waitFor(async () => {
      const operations = await subject.operations();
      expect(await operations.status(never)).toMatchObject({ blobs: count, reservedBytes: 0 });
    }, SOON);
    return subject;
  };
  describe(`images by ${name}`, () => {
    it('are listed with tags, sizes of their own and shared, and last use', async () => {
      const subject = await withBoth();
      const found = await listed(subject);
      expect(found.map(({ tags }) => tags)).toEqual(expect.arrayContaining([['v1'], ['v2']]));
      const first = found.find(({ tags }) => tags.includes('v1'));
      const bytes = [one.root, ...one.blobs].reduce((sum, blob) => sum + blob.size, 0);
      expect(first).toMatchObject({
        upstream: 'docker.io',
        repository: 'library/app',
        digest: one.root.digest,
        mediaType: one.root.mediaType,
        bytes,
        blobs: one.blobs.length + 1,
        exclusiveBytes: bytes - (shared?.size ?? 0),
        pinned: false,
      });
      expect(Math.abs(Date.now() - (first?.usedAt ?? 0))).toBeLessThan(60_000);
    });

    it('are those of a selection alone, and none of one that is not here', async () => {
      const subject = await withBoth();
      expect(await listed(subject, { upstream: 'docker.io' })).toHaveLength(2);
      expect(await listed(subject, selected('library/app'))).toHaveLength(2);
      expect(await listed(subject, selected('library/app', { tag: 'v2' }))).toMatchObject([{ tags: ['v2'] }]);
      const { digest } = one.root;
      expect(await listed(subject, selected('library/app', { digest }))).toMatchObject([{ tags: ['v1'] }]);
      for (const selection of [
        { upstream: 'quay.io' },
        selected('library/other'),
        selected('library/app', { tag: 'v3' }),
        selected('library/app', { digest: one.blobs[0]?.digest as Digest }),
      ])
        await expect(listed(subject, selection)).rejects.toMatchObject({ reason: 'not-found' });
      await expect(listed(subject, selected('library/app', { tag: 'v3' }))).rejects.toThrow(
        'nothing is cached of docker.io/library/app:v3; there is v1, v2',
      );
    });
  });

  describe(`purge by ${name}`, () => {
    it('takes an image away at once, with the files that it alone used', async () => {
      const subject = await withBoth();
      const told = await purged(subject, selected('library/app', { tag: 'v1' }));
      expect(told[0]).toEqual({
        event: 'forgotten',
        upstream: 'docker.io',
        repository: 'library/app',
        tag: 'v1',
      });
      const gone = [one.root, ...one.blobs].filter((blob) => blob !== shared);
      expect(told.at(-1)).toEqual({
        event: 'done',
        repositories: 1,
        blobs: gone.length,
        bytes: gone.reduce((sum, { size }) => sum + size, 0),
        failures: 0,
        dryRun: false,
      });
      const left = await files(subject.dataDir);
      expect(gone.filter((blob) => isThere(left, blob))).toEqual([]);
      expect([two.root, ...two.blobs].filter((blob) => !isThere(left, blob))).toEqual([]);
      expect(await listed(subject)).toMatchObject([{ tags: ['v2'] }]);
    });

    it('leaves nothing that is served without asking upstream, and the rest as it was', async () => {
      const subject = await withBoth();
      await purged(subject, selected('library/app', { tag: 'v1' }));
      await subject.registry.stop();
      const app = await subject.app();
      const base = `${app.url}/v2/library/app`;
      for (const [path, { mediaType }] of [
        ['manifests/v1', one.root],
        [`manifests/${one.root.digest}`, one.root],
      ] as const)
        expect((await get(`${base}/${path}`, { headers: { accept: mediaType } })).status).not.toBe(200);
      for (const { digest } of one.blobs.filter((blob) => blob.digest !== shared?.digest))
        expect((await get(`${base}/blobs/${digest}`)).status).not.toBe(200);
      await pullImage(app, 'library/app', 'v2', two);
    });

    it('of a repository takes all of it, and of an upstream everything, but not what others hold', async () => {
      const subject = await withBoth();
      pushTo(subject.registry, { repository: 'library/fork', tag: 'v1', image: one });
      await pullImage(await subject.app(), 'library/fork', 'v1', one);
      expect((await purged(subject, selected('library/app'))).at(-1)).toMatchObject({ repositories: 1 });
      expect(await listed(subject)).toMatchObject([{ repository: 'library/fork' }]);
      const left = await files(subject.dataDir);
      expect([one.root, ...one.blobs].filter((blob) => !isThere(left, blob))).toEqual([]);
      expect(left).toHaveLength(one.blobs.length + 1);
      await purged(subject, { upstream: 'docker.io' });
      expect(await files(subject.dataDir)).toEqual([]);
      expect(await listed(subject)).toEqual([]);
    });

    it('only tells what would go when it is asked to, and is right', async () => {
      const subject = await withBoth();
      const before = await files(subject.dataDir);
      const selections = [
        selected('library/app', { tag: 'v2' }),
        selected('library/app'),
        { upstream: 'docker.io' },
      ];
      for (const selection of selections) {
        const told = await purged(subject, selection, true);
        expect(told.at(-1)).toMatchObject({ event: 'done', dryRun: true });
        expect(await files(subject.dataDir)).toEqual(before);
      }
      expect(await listed(subject)).toHaveLength(2);
      const planned = (await purged(subject, selected('library/app', { tag: 'v2' }), true)).at(-1);
      const done = (await purged(subject, selected('library/app', { tag: 'v2' }))).at(-1);
      expect({ ...planned, dryRun: false }).toEqual(done);
    });

    it('of what is not here is an error, and changes nothing', async () => {
      const subject = await withBoth();
      for (const selection of [
        selected('library/app', { tag: 'v3' }),
        selected('library/other'),
        { upstream: 'quay.io' },
      ])
        for (const dryRun of [true, false])
          await expect(purged(subject, selection, dryRun)).rejects.toMatchObject({ reason: 'not-found' });
      expect(await listed(subject)).toHaveLength(2);
    });
  });

  describe(`pins by ${name}`, () => {
    it('are kept in full, listed, and taken away', async () => {
      const subject = await withBoth();
      const operations = await subject.operations();
      expect(await operations.pin('app:v1', never)).toEqual({
        pattern: 'docker.io/library/app:v1',
        changed: true,
        images: 1,
        stillPinnedBy: [],
      });
      expect(await operations.pin('docker.io/library/app:v1', never)).toMatchObject({ changed: false });
      expect(await operations.pin('later/*', never)).toMatchObject({ changed: true, images: 0 });
      expect(await operations.pins(never)).toEqual([
        { pattern: 'docker.io/later/*', source: 'command' },
        { pattern: 'docker.io/library/app:v1', source: 'command' },
      ]);
      expect(await listed(subject)).toEqual(
        expect.arrayContaining([
          expect.objectContaining({ tags: ['v1'], pinned: true }),
          expect.objectContaining({ tags: ['v2'], pinned: false }),
        ]),
      );
      expect((await operations.status(never)).pinned.blobs).toBe(one.blobs.length + 1);
      expect(await operations.unpin('app:v1', never)).toMatchObject({ changed: true });
      expect(await operations.unpin('app:v1', never)).toMatchObject({ changed: false });
      expect((await operations.status(never)).pinned).toEqual({ bytes: 0, blobs: 0 });
      // By the very words that pinned it, also where they might begin with an upstream's name.
      await operations.pin('team/app:v*', never);
      expect(await operations.unpin('team/app:v*', never)).toMatchObject({ changed: true });
      for (const wrong of ['', 'App', 'gchr.io/a/b', 'app@sha256:1'])
        await expect(operations.pin(wrong, never), wrong).rejects.toMatchObject({ reason: 'invalid' });
    });

    it('keep an image while all else is evicted', async () => {
      const subject = await withBoth();
      const operations = await subject.operations();
      await operations.pin('app:v1', never);
      const plan: EvictEvent[] = await all(operations.evict({ toBytes: 0, dryRun: true }, never));
      expect(await files(subject.dataDir)).toHaveLength(one.blobs.length + two.blobs.length + 1);
      const told: EvictEvent[] = await all(operations.evict({ toBytes: 0, dryRun: false }, never));
      expect(victims(plan)).toEqual(victims(told));
      expect(told.at(-1)).toMatchObject({ event: 'done', isEnough: false, blobs: two.blobs.length });
      const left = await files(subject.dataDir);
      expect([one.root, ...one.blobs].filter((blob) => !isThere(left, blob))).toEqual([]);
      expect(left).toHaveLength(one.blobs.length + 1);
      await pullImage(await subject.app(), 'library/app', 'v1', one);
    });
  });

  describe(`evict by ${name}`, () => {
    it('goes down to what is asked for, and tells what goes and whose it is', async () => {
      const subject = await withBoth();
      const operations = await subject.operations();
      const { bytes } = await operations.status(never);
      const toBytes = Math.floor(bytes / 2);
      const told = await all(operations.evict({ toBytes, dryRun: false }, never));
      expect(told.find(({ event }) => event === 'victim')).toMatchObject({
        holders: ['docker.io/library/app'],
        usedAt: expect.any(Number),
      });
      expect(told.at(-1)).toMatchObject({ event: 'done', isEnough: true });
      const after = await operations.status(never);
      expect(after.bytes).toBeLessThanOrEqual(toBytes);
      expect(await files(subject.dataDir)).toHaveLength(after.blobs);
    });
  });

  describe(`verify by ${name}`, () => {
    it('finds all sound, or what is damaged, which is set aside and fetched again', async () => {
      const subject = await withBoth();
      const verified = async (selection: ImageSelection = {}): Promise<VerifyEvent[]> =>
        all((await subject.operations()).verify(selection, never));
      const count = (await files(subject.dataDir)).length;
      expect((await verified()).at(-1)).toMatchObject({
        event: 'done',
        blobs: count,
        damaged: 0,
        unreadable: 0,
      });

      const layer = one.manifests[0]?.layers[1];
      if (layer === undefined) throw new Error('no layer');
      const path = await filePath(subject.dataDir, layer);
      const bytes = await readFile(path);
      bytes[100] = (bytes[100] ?? 0) ^ 1;
      await writeFile(path, bytes);
      expect((await verified(selected('library/app', { tag: 'v2' }))).at(-1)).toMatchObject({
        blobs: two.blobs.length + 1,
        damaged: 0,
      });
      const told = await verified(selected('library/app', { tag: 'v1' }));
      expect(told).toContainEqual({
        event: 'damaged',
        digest: layer.digest,
        sizeBytes: layer.size,
        holders: ['docker.io/library/app'],
      });
      expect(told.at(-1)).toMatchObject({ event: 'done', damaged: 1 });
      await expect(stat(path)).rejects.toThrow();
      await pullImage(await subject.app(), 'library/app', 'v1', one);
      expect((await verified({ upstream: 'docker.io' })).at(-1)).toMatchObject({ damaged: 0 });
      await expect(verified(selected('library/app', { tag: 'v3' }))).rejects.toMatchObject({
        reason: 'not-found',
      });
      await expect(verified({ upstream: 'quay.io' })).rejects.toMatchObject({ reason: 'not-found' });
    });
  });

  describe(`status by ${name}`, () => {
    it('tells what is stored, and whose', async () => {
      const subject = await withBoth();
      const status = await (await subject.operations()).status(never);
      const found = await files(subject.dataDir);
      expect(status).toMatchObject({ blobs: found.length, reservedBytes: 0, quarantinedBytes: 0 });
      expect(status.bytes).toBeGreaterThan(10_000);
      expect(status.limitBytes).toBeGreaterThan(status.bytes);
      expect(status.indexBytes).toBeGreaterThan(10_000);
      expect(status.nextVictimUsedAt).toBeGreaterThan(Date.now() - 60_000);
    });
  });

  describe(`what is aborted by ${name}`, () => {
    it('ends with the reason of its signal', async () => {
      const subject = await withBoth();
      const operations = await subject.operations();
      const aborted = AbortSignal.abort(new Error('enough'));
      await expect(all(operations.images({}, aborted))).rejects.toThrow('enough');
      await expect(operations.status(aborted)).rejects.toThrow('enough');
      const leaving = new AbortController();
      const steps = operations.purge(
        { upstream: 'docker.io', repository: APP },
        { dryRun: false },
        leaving.signal,
      );
      await expect(
        (async () => {
          for await (const _ of steps) leaving.abort(new Error('enough'));
        })(),
      ).rejects.toThrow('enough');
    });
  });
}
