import { describe, expect, it } from 'vitest';
import type { ImageRow } from '../../src/metadata/stored-images.ts';
import type { Listed, MetadataStore, NewManifest, RepositoryKey } from '../../src/metadata/metadata-store.ts';
import { type Digest, digestOf } from '../../src/oci/digest.ts';
import { parseRepositoryName, parseTag } from '../../src/oci/reference.ts';

const MANIFEST = 'application/vnd.oci.image.manifest.v1+json';
const INDEX = 'application/vnd.oci.image.index.v1+json';
const APP: RepositoryKey = { upstream: 'docker.io', repository: parseRepositoryName('library/app') };
const FORK: RepositoryKey = { upstream: 'docker.io', repository: parseRepositoryName('library/fork') };

function named(name: string): Digest {
  return digestOf(Buffer.from(name));
}

const names = new Map<Digest, string>();

/** Digests as the names they were made of. */
function called(digests: readonly Digest[]): readonly string[] {
  return digests.map((digest) => names.get(digest) ?? digest);
}

function listed(name: string, kind: Listed['kind']): Listed {
  return { digest: digestNamed(name), sizeBytes: 10, kind, isHeld: kind !== 'manifest' };
}

function digestNamed(name: string): Digest {
  const digest = named(name);
  names.set(digest, name);
  return digest;
}

/** A manifest that lists a config and layers, each of 10 bytes. */
function manifest(name: string, layers: readonly string[]): NewManifest {
  const children = [listed(`${name}.config`, 'config'), ...layers.map((layer) => listed(layer, 'layer'))];
  return { digest: digestNamed(name), sizeBytes: 1, mediaType: MANIFEST, isIndex: false, children };
}

function index(name: string, manifests: readonly string[]): NewManifest {
  const children = manifests.map((child) => listed(child, 'manifest'));
  return { digest: digestNamed(name), sizeBytes: 1, mediaType: INDEX, isIndex: true, children };
}

/** Records it, and stores it with all that it lists. The first use is at `usedAt`. */
async function pulled(
  store: MetadataStore,
  key: RepositoryKey,
  image: NewManifest,
  usedAt: number,
  tag?: string,
): Promise<void> {
  await store.recordManifest(key, image);
  const { digest, sizeBytes } = image;
  await store.blobs.put({ digest, sizeBytes, upstream: key.upstream }, usedAt);
  for (const child of image.isIndex ? [] : image.children) {
    await store.blobs.put({ ...child, upstream: key.upstream }, usedAt);
  }
  if (tag !== undefined)
    await store.putTag({ ...key, tag: parseTag(tag), accept: '' }, { digest, checkedAt: 1 });
}

async function victims(store: MetadataStore): Promise<readonly string[]> {
  return called((await store.blobs.victims({ limit: 100 })).map(({ digest }) => digest));
}

async function images(store: MetadataStore, limit = 100): Promise<readonly ImageRow[]> {
  const found: ImageRow[] = [];
  let after: string | undefined;
  do {
    const page = await store.images.page({}, after, limit);
    expect(page.images.length).toBeLessThanOrEqual(limit);
    found.push(...page.images);
    after = page.next;
  } while (after !== undefined);
  return found;
}

/** What every MetadataStore must know of images. `start` gives an empty store whose ranking is the last use. */
export function imagesContract(name: string, start: () => Promise<MetadataStore>): void {
  describe(`uses in ${name}`, () => {
    it('of a manifest are uses of all that it lists, and of nothing else', async () => {
      const store = await start();
      await pulled(store, APP, manifest('one', ['base', 'one.layer']), 100);
      await pulled(store, APP, manifest('two', ['base', 'two.layer']), 200);
      await store.blobs.touch(new Map([[named('one'), 300]]));
      expect(await victims(store)).toEqual(
        expect.arrayContaining(['two', 'two.config', 'two.layer', 'one', 'one.config', 'base', 'one.layer']),
      );
      expect((await victims(store)).slice(0, 3).toSorted()).toEqual(['two', 'two.config', 'two.layer']);
      expect(await store.blobs.describe(named('base'))).toMatchObject({ usedAt: 300, kind: 'layer' });
    });

    it('of an index are uses of the manifests that are stored, but not of what those list', async () => {
      const store = await start();
      await pulled(store, APP, manifest('amd64', ['amd64.layer']), 100);
      await pulled(store, APP, index('all', ['amd64', 'arm64']), 100);
      await store.blobs.touch(new Map([[named('all'), 500]]));
      for (const [digest, usedAt] of [
        ['all', 500],
        ['amd64', 500],
        ['amd64.config', 100],
        ['amd64.layer', 100],
      ] as const) {
        expect(await store.blobs.describe(named(digest))).toMatchObject({ usedAt });
      }
      expect(await store.blobs.describe(named('arm64'))).toBeUndefined();
    });

    it('are of what a blob is: an index, a manifest, a config, or else a layer', async () => {
      const store = await start();
      await pulled(store, APP, manifest('amd64', ['layer']), 1);
      await pulled(store, APP, index('all', ['amd64']), 1);
      const kinds = await Promise.all(
        ['all', 'amd64', 'amd64.config', 'layer'].map((what) => store.blobs.describe(named(what))),
      );
      expect(kinds.map((blob) => blob?.kind)).toEqual(['index', 'manifest', 'config', 'layer']);
    });
  });

  describe(`what is given up in ${name}`, () => {
    it('leaves what only it used as the next to go, and what others use where it was', async () => {
      const store = await start();
      await pulled(store, APP, manifest('one', ['base', 'one.layer']), 300);
      await pulled(store, APP, manifest('two', ['base', 'two.layer']), 200);
      await store.blobs.evict(named('one'));
      expect((await victims(store)).slice(0, 2).toSorted()).toEqual(['one.config', 'one.layer']);
      await store.blobs.evict(named('two'));
      expect(await store.blobs.get(named('two'))).toBeUndefined();
      expect((await victims(store))[0]).toBeDefined();
      // Now nobody lists the base any more.
      expect((await store.blobs.victims({ limit: 9 })).map(({ digest }) => digest)).toContain(named('base'));
    });

    it('is counted by who brought it', async () => {
      const store = await start();
      await store.blobs.put({ digest: digestNamed('a'), sizeBytes: 10, upstream: 'docker.io' }, 1);
      await store.blobs.put({ digest: digestNamed('b'), sizeBytes: 5000, upstream: 'quay.io' }, 2);
      await store.blobs.put({ digest: digestNamed('c'), sizeBytes: 1 }, 3);
      const { byUpstream, ...all } = await store.blobs.totals(4096);
      expect(all).toEqual({ bytes: 4 * 4096, blobs: 3 });
      expect([...byUpstream].toSorted(([one], [other]) => one.localeCompare(other))).toEqual([
        ['docker.io', { bytes: 4096, blobs: 1 }],
        ['quay.io', { bytes: 8192, blobs: 1 }],
      ]);
      const ofQuay = await store.blobs.victims({ limit: 9, upstream: 'quay.io' });
      expect(ofQuay.map(({ digest }) => digest)).toEqual([named('b')]);
    });

    it('is never what is pinned, nor what that lists', async () => {
      const store = await start();
      await pulled(store, APP, manifest('kept', ['base']), 1);
      await pulled(store, APP, manifest('other', ['base', 'other.layer']), 2);
      const totals = await store.images.setPinned([named('kept'), digestNamed('not here')]);
      expect(totals).toEqual({ blobs: 3, bytes: 21 });
      expect((await victims(store)).toSorted()).toEqual(['other', 'other.config', 'other.layer']);
      expect(await store.blobs.pinnedTotals(4096)).toMatchObject({ blobs: 3, bytes: 3 * 4096 });
      expect([await store.blobs.isPinned(named('base')), await store.blobs.isPinned(named('other'))]).toEqual(
        [true, false],
      );
      await store.images.setPinned([]);
      expect(await store.blobs.pinnedTotals(4096)).toMatchObject({ blobs: 0, bytes: 0 });
      expect(await victims(store)).toHaveLength(6);
    });

    it('can be walked through in pages', async () => {
      const store = await start();
      const all = Array.from({ length: 25 }, (_, at) => digestNamed(`blob ${at}`));
      for (const digest of all) await store.blobs.put({ digest, sizeBytes: 1 }, 1);
      const seen: Digest[] = [];
      for (let after: number | undefined = 0; after !== undefined;) {
        const page = await store.blobs.page(after, 10);
        seen.push(...page.blobs.map(({ digest }) => digest));
        after = page.next;
      }
      expect(seen).toEqual(all);
    });
  });

  describe(`images in ${name}`, () => {
    it('are what has a tag, or what no other lists; page by page', async () => {
      const store = await start();
      await pulled(store, APP, manifest('amd64', ['layer']), 5);
      await pulled(store, APP, index('all', ['amd64']), 6, 'latest');
      const v1 = { ...APP, tag: parseTag('v1') };
      await store.putTag({ ...v1, accept: '' }, { digest: named('all'), checkedAt: 9 });
      await store.putTag({ ...v1, accept: 'some' }, { digest: named('all'), checkedAt: 4 });
      await pulled(store, APP, manifest('by digest', ['other']), 7);
      await pulled(store, FORK, manifest('forked', ['layer']), 8, 'v1');
      const expected = [
        {
          ...APP,
          digest: named('all'),
          mediaType: INDEX,
          tags: ['latest', 'v1'],
          checkedAt: [1, 9],
          usedAt: 6,
        },
        { ...APP, digest: named('by digest'), mediaType: MANIFEST, tags: [], checkedAt: [], usedAt: 7 },
        { ...FORK, digest: named('forked'), mediaType: MANIFEST, tags: ['v1'], checkedAt: [1], usedAt: 8 },
      ];
      for (const limit of [1, 2, 100]) {
        const found = await images(store, limit);
        expect(found).toHaveLength(3);
        expect(found).toEqual(expect.arrayContaining(expected));
      }
      const { images: forks } = await store.images.page({ repository: FORK.repository }, undefined, 9);
      expect(forks.map(({ digest }) => digest)).toEqual([named('forked')]);
      expect(await store.images.find(APP, { tag: parseTag('v1') })).toMatchObject({ digest: named('all') });
      expect(await store.images.find(APP, { tag: parseTag('v2') })).toBeUndefined();
      expect(await store.images.find(FORK, { digest: named('all') })).toBeUndefined();
    });

    it('are as large as what is stored of them, and exclusively what nothing else uses', async () => {
      const store = await start();
      await pulled(store, APP, manifest('amd64', ['base', 'amd64.layer']), 1);
      await pulled(store, APP, index('all', ['amd64', 'arm64']), 1, 'latest');
      expect(await store.images.sizes(named('all'))).toEqual({ bytes: 32, exclusiveBytes: 32, blobs: 5 });
      await pulled(store, FORK, manifest('fork', ['base']), 1, 'v1');
      expect(await store.images.sizes(named('all'))).toEqual({ bytes: 32, exclusiveBytes: 22, blobs: 5 });
      // With a tag of its own the manifest, and so all that it lists, is more than a part of the index.
      await store.putTag(
        { ...APP, tag: parseTag('amd64'), accept: '' },
        { digest: named('amd64'), checkedAt: 1 },
      );
      expect(await store.images.sizes(named('all'))).toEqual({ bytes: 32, exclusiveBytes: 1, blobs: 5 });
    });

    it('are forgotten with what no other image of the repository uses, and go when no repository holds them', async () => {
      const store = await start();
      await pulled(store, APP, manifest('one', ['base', 'one.layer']), 1, 'one');
      await pulled(store, APP, manifest('two', ['base', 'two.layer']), 1, 'two');
      await pulled(store, FORK, manifest('fork', ['two.layer']), 1, 'v1');
      const forgotten = await store.images.forgetImage(APP, { tag: parseTag('two') });
      expect(forgotten?.holdings).toBe(3);
      expect(called(forgotten?.unheld ?? []).toSorted()).toEqual(['two', 'two.config']);
      expect(await store.holding(APP, named('two'))).toBeUndefined();
      expect(await store.holding(APP, named('two.layer'))).toBeUndefined();
      expect(await store.holding(APP, named('base'))).toBeDefined();
      expect(await store.tag({ ...APP, tag: parseTag('two'), accept: '' })).toBeUndefined();
      expect(await store.images.forgetImage(APP, { tag: parseTag('two') })).toBeUndefined();
    });

    it('that have another tag lose only the one', async () => {
      const store = await start();
      await pulled(store, APP, manifest('one', ['layer']), 1, 'v1');
      await store.putTag({ ...APP, tag: parseTag('v2'), accept: '' }, { digest: named('one'), checkedAt: 1 });
      expect(await store.images.forgetImage(APP, { tag: parseTag('v1') })).toEqual({
        holdings: 0,
        unheld: [],
      });
      expect(await store.images.find(APP, { tag: parseTag('v2') })).toMatchObject({ tags: ['v2'] });
      const byDigest = await store.images.forgetImage(APP, { digest: named('one') });
      expect(called(byDigest?.unheld ?? []).toSorted()).toEqual(['layer', 'one', 'one.config']);
    });

    it('are forgotten with their repository, some at a time, and a pull makes it anew', async () => {
      const store = await start();
      for (const n of [1, 2, 3]) await pulled(store, APP, manifest(`m${n}`, [`l${n}`]), 1, `v${n}`);
      await pulled(store, FORK, manifest('m1', ['l1']), 1, 'v1');
      await store.putTagList(APP, { items: ['v1'], checkedAt: 1 });
      const unheld: Digest[] = [];
      for (;;) {
        const forgotten = await store.images.forgetRepository(APP, 4);
        unheld.push(...forgotten.unheld);
        if (forgotten.holdings === 0) break;
      }
      expect(called(unheld).toSorted()).toEqual(['l2', 'l3', 'm2', 'm2.config', 'm3', 'm3.config']);
      expect(await store.tagList(APP)).toBeUndefined();
      expect(await store.images.repositories({}, 0, 9)).toMatchObject([FORK]);
      await pulled(store, APP, manifest('m1', ['l1']), 1, 'v1');
      expect(await store.images.find(APP, { tag: parseTag('v1') })).toBeDefined();
    });

    it('keep their pins and what tags meant, and tell when either changed', async () => {
      const store = await start();
      const before = store.images.changes;
      expect(await store.images.addPin('docker.io/library/app')).toBe(true);
      expect(await store.images.addPin('docker.io/library/app')).toBe(false);
      expect(await store.images.pins()).toEqual(['docker.io/library/app']);
      expect(store.images.changes).not.toBe(before);
      expect(await store.images.removePin('docker.io/library/app')).toBe(true);
      expect(await store.images.removePin('docker.io/library/app')).toBe(false);
      const between = store.images.changes;
      await pulled(store, APP, manifest('one', []), 1, 'v1');
      expect(store.images.changes).not.toBe(between);
      expect(await store.images.tagged(APP)).toEqual([{ tag: 'v1', digest: named('one') }]);
      expect(await store.images.tagged(FORK)).toEqual([]);
    });

    it('remember what a tag meant before, the newest first, twenty changes at most, until the tag is forgotten', async () => {
      const store = await start();
      const tag = parseTag('latest');
      const move = async (what: string, checkedAt: number, accept = '') =>
        store.putTag({ ...APP, tag, accept }, { digest: digestNamed(what), checkedAt });
      const history = async () =>
        (await store.tagHistory(APP, tag)).map(({ digest, until }) => `${names.get(digest)} ${until}`);
      await move('one', 1);
      await move('one', 2);
      await move('other', 3, 'application/json');
      expect(await history()).toEqual([]);
      await move('two', 4);
      await move('two', 5);
      await move('one', 6);
      expect(await history()).toEqual(['two 6', 'one 4']);
      expect(await store.tagHistory(FORK, tag)).toEqual([]);
      for (let at = 0; at < 30; at += 1) await move(`build ${at}`, 100 + at);
      expect(await history()).toHaveLength(20);
      expect((await history())[0]).toBe('build 28 129');
      await store.deleteTag(APP, tag, 'application/json');
      expect(await history()).toHaveLength(20);
      await store.deleteTag(APP, tag);
      expect(await history()).toEqual([]);
      await move('one', 200);
      expect(await history()).toEqual([]);
    });

    it('forget what tags meant with their repository', async () => {
      const store = await start();
      const tag = parseTag('latest');
      await pulled(store, APP, manifest('one', ['layer']), 1, 'latest');
      await store.putTag({ ...APP, tag, accept: '' }, { digest: digestNamed('two'), checkedAt: 2 });
      expect(await store.tagHistory(APP, tag)).toHaveLength(1);
      while ((await store.images.forgetRepository(APP, 100)).holdings > 0);
      expect(await store.tagHistory(APP, tag)).toEqual([]);
    });

    it('of thousands of layers are recorded without holding anybody up for long, the manifest last', async () => {
      const store = await start();
      const large = manifest(
        'large',
        Array.from({ length: 3000 }, (_, at) => `layer ${at}`),
      );
      let turns = 0;
      const counting = setInterval(() => (turns += 1), 0);
      await store.recordManifest(APP, large);
      clearInterval(counting);
      expect(turns).toBeGreaterThan(3);
      expect(await store.holding(APP, named('layer 2999'))).toBeDefined();
      expect(await store.holding(APP, named('large'))).toMatchObject({ manifestType: MANIFEST });
    });
  });
}
