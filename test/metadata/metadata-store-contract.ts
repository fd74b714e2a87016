import { describe, expect, it } from 'vitest';
import type {
  ForgettingPlace,
  MetadataStore,
  NewManifest,
  RepositoryKey,
  TagKey,
} from '../../src/metadata/metadata-store.ts';
import { type Digest, digestOf } from '../../src/oci/digest.ts';
import { parseRepositoryName, parseTag, type Tag } from '../../src/oci/reference.ts';

export function digestNumber(n: number): Digest {
  return digestOf(Buffer.from(`content ${n}`));
}

export const APP: RepositoryKey = { upstream: 'docker.io', repository: parseRepositoryName('library/app') };
const OTHERS: readonly RepositoryKey[] = [
  { upstream: 'docker.io', repository: parseRepositoryName('library/other') },
  { upstream: 'quay.io', repository: parseRepositoryName('library/app') },
];
const LATEST = parseTag('latest');
const [A, B, C] = [digestNumber(1), digestNumber(2), digestNumber(3)] as const;
const MANIFEST = 'application/vnd.oci.image.manifest.v1+json';

function key(accept: string, tag: Tag = LATEST): TagKey {
  return { ...APP, tag, accept };
}

/** What every MetadataStore must do. `start` gives an empty store, closed when the running test has finished. */
export function metadataStoreContract(name: string, start: () => Promise<MetadataStore>): void {
  blobContract(name, start);
  repositoryContract(name, start);
  listContract(name, start);
  forgettingContract(name, start);
}

function blobContract(name: string, start: () => Promise<MetadataStore>): void {
  describe(`blobs in ${name}`, () => {
    it('begin with none', async () => {
      const store = await start();
      expect(await store.blobs.get(A)).toBeUndefined();
      expect(await store.blobs.delete(A)).toBeUndefined();
      expect(await store.blobs.totals()).toMatchObject({ bytes: 0, blobs: 0 });
      expect(await store.blobs.victims({ limit: 10 })).toEqual([]);
    });

    it('are found until they are deleted, and replace a row of the same digest', async () => {
      const store = await start();
      await store.blobs.put({ digest: A, sizeBytes: 10 }, 1);
      await store.blobs.put({ digest: A, sizeBytes: 12 }, 2);
      expect(await store.blobs.get(A)).toEqual({ digest: A, sizeBytes: 12 });
      expect(await store.blobs.totals()).toMatchObject({ bytes: 12, blobs: 1 });
      expect(await store.blobs.delete(A)).toMatchObject({ digest: A, sizeBytes: 12 });
      expect(await store.blobs.delete(A)).toBeUndefined();
      expect(await store.blobs.get(A)).toBeUndefined();
    });

    it('are counted, empty and very large ones too', async () => {
      const store = await start();
      const large = 2 ** 45 + 1;
      await store.blobs.put({ digest: A, sizeBytes: 0 }, 1);
      await store.blobs.put({ digest: B, sizeBytes: large }, 1);
      const sha512 = digestOf(Buffer.from('x'), 'sha512');
      await store.blobs.put({ digest: sha512, sizeBytes: 5 }, 1);
      expect(await store.blobs.get(B)).toEqual({ digest: B, sizeBytes: large });
      expect(await store.blobs.get(sha512)).toEqual({ digest: sha512, sizeBytes: 5 });
      expect(await store.blobs.totals()).toMatchObject({ bytes: large + 5, blobs: 3 });
    });

    it('are listed least recently used first; a touch counts, at broken milliseconds too', async () => {
      const store = await start();
      const all = Array.from({ length: 20 }, (_, at) => digestNumber(at));
      for (const [at, digest] of all.entries()) await store.blobs.put({ digest, sizeBytes: at }, 1000 + at);
      const listed = async (limit: number) =>
        (await store.blobs.victims({ limit: limit })).map(({ digest }) => digest);
      expect(await listed(100)).toEqual(all);
      expect(await listed(3)).toEqual(all.slice(0, 3));
      await store.blobs.touch(
        new Map([
          [digestNumber(0), 2000.75],
          [digestNumber(2), 3000.25],
        ]),
      );
      const expected = [1, ...Array.from({ length: 17 }, (_, at) => at + 3), 0, 2].map(digestNumber);
      expect(await listed(100)).toEqual(expected);
      expect((await store.blobs.victims({ limit: 1 }))[0]).toMatchObject({
        digest: digestNumber(1),
        sizeBytes: 1,
      });
    });

    it('that are not stored are passed over by a touch', async () => {
      const store = await start();
      await store.blobs.put({ digest: A, sizeBytes: 1 }, 10);
      await store.blobs.put({ digest: B, sizeBytes: 1 }, 20);
      await store.blobs.touch(
        new Map([
          [C, 5],
          [A, 30],
        ]),
      );
      await store.blobs.touch(new Map());
      expect((await store.blobs.victims({ limit: 9 })).map(({ digest }) => digest)).toEqual([B, A]);
      expect(await store.blobs.totals()).toMatchObject({ bytes: 2, blobs: 2 });
    });
  });
}

function repositoryContract(name: string, start: () => Promise<MetadataStore>): void {
  describe(`holdings in ${name}`, () => {
    it('are of one repository of one upstream, and no other', async () => {
      const store = await start();
      expect(await store.holding(APP, A)).toBeUndefined();
      await store.recordHoldings(APP, [{ digest: A, sizeBytes: 10, manifestType: MANIFEST }]);
      expect(await store.holding(APP, A)).toEqual({ sizeBytes: 10, manifestType: MANIFEST });
      expect(await store.holding(APP, B)).toBeUndefined();
      for (const other of OTHERS) expect(await store.holding(other, A)).toBeUndefined();
    });

    it('keep the type that is known when the new one has none, and take a new one', async () => {
      const store = await start();
      await store.recordHoldings(APP, [{ digest: A, sizeBytes: 10 }]);
      expect(await store.holding(APP, A)).toEqual({ sizeBytes: 10, manifestType: undefined });
      await store.recordHoldings(APP, [{ digest: A, sizeBytes: 10, manifestType: MANIFEST }]);
      await store.recordHoldings(APP, [{ digest: A, sizeBytes: 11 }]);
      expect(await store.holding(APP, A)).toEqual({ sizeBytes: 11, manifestType: MANIFEST });
      await store.recordHoldings(APP, [{ digest: A, sizeBytes: 11, manifestType: 'another' }]);
      expect(await store.holding(APP, A)).toEqual({ sizeBytes: 11, manifestType: 'another' });
    });

    it('are recorded many at a time, or none at all when one of them cannot be', async () => {
      const store = await start();
      const many = Array.from({ length: 500 }, (_, at) => ({ digest: digestNumber(at), sizeBytes: at }));
      await store.recordHoldings(APP, []);
      await store.recordHoldings(APP, many);
      expect(await store.holding(APP, digestNumber(499))).toEqual({
        sizeBytes: 499,
        manifestType: undefined,
      });
      const [other] = OTHERS;
      expect.assert(other !== undefined);
      const half = [
        { digest: A, sizeBytes: 1 },
        { digest: B, sizeBytes: 1.5 },
      ];
      await expect(store.recordHoldings(other, half)).rejects.toMatchObject({ name: 'MetadataError' });
      expect(await store.holding(other, A)).toBeUndefined();
      // The repository that was rolled back with them can be made again.
      await store.recordHoldings(other, [{ digest: A, sizeBytes: 1 }]);
      expect(await store.holding(other, A)).toEqual({ sizeBytes: 1, manifestType: undefined });
      expect(await store.holding(APP, digestNumber(499))).toBeDefined();
    });

    it('know nothing of blobs: neither comes or goes with the other', async () => {
      const store = await start();
      await store.recordHoldings(APP, [{ digest: A, sizeBytes: 10 }]);
      expect(await store.blobs.get(A)).toBeUndefined();
      await store.blobs.put({ digest: A, sizeBytes: 10 }, 1);
      await store.blobs.delete(A);
      expect(await store.holding(APP, A)).toBeDefined();
    });
  });

  describe(`tags in ${name}`, () => {
    it('mean one thing for each set of accepted types', async () => {
      const store = await start();
      expect(await store.tag(key(''))).toBeUndefined();
      await store.putTag(key(''), { digest: A, checkedAt: 100 });
      await store.putTag(key(MANIFEST), { digest: B, checkedAt: 200.5 });
      expect(await store.tag(key(''))).toEqual({ digest: A, checkedAt: 100 });
      expect((await store.tag(key(MANIFEST)))?.digest).toBe(B);
      await store.putTag(key(''), { digest: C, checkedAt: 300 });
      expect(await store.tag(key(''))).toEqual({ digest: C, checkedAt: 300 });
      expect((await store.tag(key(MANIFEST)))?.digest).toBe(B);
      for (const other of OTHERS)
        expect(await store.tag({ ...other, tag: LATEST, accept: '' })).toBeUndefined();
    });

    it('are forgotten for one set of types, or for all', async () => {
      const store = await start();
      await store.deleteTag(APP, LATEST);
      const put = async () => {
        for (const accept of ['', MANIFEST]) await store.putTag(key(accept), { digest: A, checkedAt: 1 });
        await store.putTag(key('', parseTag('v1')), { digest: A, checkedAt: 1 });
      };
      await put();
      await store.deleteTag(APP, LATEST, '');
      expect(await store.tag(key(''))).toBeUndefined();
      expect(await store.tag(key(MANIFEST))).toBeDefined();
      await put();
      await store.deleteTag(APP, LATEST);
      expect(await store.tag(key(''))).toBeUndefined();
      expect(await store.tag(key(MANIFEST))).toBeUndefined();
      expect(await store.tag(key('', parseTag('v1')))).toBeDefined();
    });

    it('that are known are listed in lexical order, each once', async () => {
      const store = await start();
      expect(await store.knownTags(APP)).toEqual([]);
      for (const tag of ['v2', '_x', 'V1', 'a.b', 'v10', '1'])
        for (const accept of ['', MANIFEST])
          await store.putTag(key(accept, parseTag(tag)), { digest: A, checkedAt: 1 });
      expect(await store.knownTags(APP)).toEqual(['1', 'V1', '_x', 'a.b', 'v10', 'v2']);
      for (const other of OTHERS) expect(await store.knownTags(other)).toEqual([]);
    });
  });
}

function listContract(name: string, start: () => Promise<MetadataStore>): void {
  describe(`lists in ${name}`, () => {
    it('of tags come back as they were, the empty one too, in the order given', async () => {
      const store = await start();
      expect(await store.tagList(APP)).toBeUndefined();
      await store.putTagList(APP, { items: [], checkedAt: 5 });
      expect(await store.tagList(APP)).toEqual({ items: [], checkedAt: 5 });
      const items = Array.from({ length: 10_000 }, (_, at) => `v${10_000 - at}`);
      await store.putTagList(APP, { items, checkedAt: 6 });
      expect(await store.tagList(APP)).toEqual({ items, checkedAt: 6 });
      for (const other of OTHERS) expect(await store.tagList(other)).toBeUndefined();
      for (const other of OTHERS) await store.deleteTagList(other);
      expect(await store.tagList(APP)).toBeDefined();
      await store.deleteTagList(APP);
      expect(await store.tagList(APP)).toBeUndefined();
    });

    it('of referrers come back field for field, by subject; an empty one is not kept', async () => {
      const store = await start();
      await store.putReferrers(APP, A, { items: [], checkedAt: 1 });
      expect(await store.referrers(APP, A)).toBeUndefined();
      const items = [
        { digest: B, size: 2 ** 40, mediaType: MANIFEST, annotations: { ümlaut: '"\u0000\u{1f4e6}' } },
        { digest: C, odd: [null, true, 1.5, { deep: [] }] },
      ];
      await store.putReferrers(APP, A, { items, checkedAt: 7 });
      expect(await store.referrers(APP, A)).toEqual({ items, checkedAt: 7 });
      expect(await store.referrers(APP, B)).toBeUndefined();
      for (const other of OTHERS) expect(await store.referrers(other, A)).toBeUndefined();
      await store.putReferrers(APP, A, { items: [], checkedAt: 8 });
      expect(await store.referrers(APP, A)).toBeUndefined();
    });

    it('and probes do not mix: a probe changes nothing', async () => {
      const store = await start();
      await store.probe();
      await store.probe();
      expect(await store.blobs.totals()).toMatchObject({ bytes: 0, blobs: 0 });
    });
  });

  it(`${name} fails with MetadataError once it is closed`, async () => {
    const store = await start();
    await store.close();
    for (const ask of [store.blobs.get(A), store.probe(), store.blobs.totals(), store.knownTags(APP)])
      await expect(ask).rejects.toMatchObject({ name: 'MetadataError', reason: 'failed' });
  });
}

/** All slices, one after the other. @returns how much was forgotten */
async function forgetAll(store: MetadataStore, before: number): Promise<number> {
  const until = await store.lastPlace();
  let count = 0;
  for (let after: ForgettingPlace | undefined = { content: 0, repository: 0 }; after !== undefined;) {
    const { forgotten, next } = await store.forgetUnstored({ after, until, before });
    count += forgotten;
    after = next;
  }
  return count;
}

const layer = (digest: Digest) => ({ digest, sizeBytes: 1, kind: 'layer' as const, isHeld: true });
const manifestOf = (digest: Digest, ...children: readonly Digest[]): NewManifest => ({
  digest,
  sizeBytes: 5,
  mediaType: MANIFEST,
  isIndex: false,
  children: children.map(layer),
});

function forgettingContract(name: string, start: () => Promise<MetadataStore>): void {
  describe(`forgetting in ${name}`, () => {
    it('takes what is not stored, with all that it listed and meant, and the repository that is left with nothing', async () => {
      const store = await start();
      const [manifest, one, two] = [digestNumber(10), digestNumber(11), digestNumber(12)];
      await store.recordManifest(APP, manifestOf(manifest, one, two));
      await store.putTag(key(''), { digest: manifest, checkedAt: 50 });
      await store.putReferrers(APP, one, { items: [{ digest: A }], checkedAt: 50 });
      expect(await forgetAll(store, 51)).toBe(3);
      expect(await store.holding(APP, manifest)).toBeUndefined();
      expect(await store.holding(APP, two)).toBeUndefined();
      expect(await store.knownTags(APP)).toEqual([]);
      expect(await store.referrers(APP, one)).toBeUndefined();
      expect(await store.images.repositories({}, 0, 10)).toEqual([]);
      expect(await forgetAll(store, 51)).toBe(0);
      await store.recordHoldings(APP, [{ digest: one, sizeBytes: 7 }]);
      expect(await store.holding(APP, one)).toEqual({ sizeBytes: 7, manifestType: undefined });
    });

    it('leaves what is stored, what something stored lists, what is pinned, and what was asked for since', async () => {
      const store = await start();
      const [stored, evicted, pinned, polled] = [20, 21, 22, 23].map(digestNumber) as [
        Digest,
        Digest,
        Digest,
        Digest,
      ];
      await store.recordManifest(APP, manifestOf(stored, evicted));
      await store.blobs.put({ digest: stored, sizeBytes: 5 }, 1);
      await store.recordHoldings(
        APP,
        [pinned, polled].map((digest) => ({ digest, sizeBytes: 1 })),
      );
      await store.images.setPinned([pinned]);
      await store.putTag(key(''), { digest: polled, checkedAt: 50 });
      expect(await forgetAll(store, 50)).toBe(0);
      for (const digest of [stored, evicted, pinned, polled])
        expect(await store.holding(APP, digest)).toBeDefined();
      expect(await forgetAll(store, 51)).toBe(1);
      expect(await store.holding(APP, polled)).toBeUndefined();
    });

    it('leaves what is newer than the place that was given', async () => {
      const store = await start();
      await store.recordHoldings(APP, [{ digest: A, sizeBytes: 1 }]);
      const until = await store.lastPlace();
      await store.recordHoldings(APP, [{ digest: B, sizeBytes: 1 }]);
      const after = { content: 0, repository: 0 };
      expect(await store.forgetUnstored({ after, until, before: 1 })).toMatchObject({ forgotten: 1 });
      expect(await store.holding(APP, A)).toBeUndefined();
      expect(await store.holding(APP, B)).toBeDefined();
    });

    it('goes through any number of digests and repositories, and leaves nothing behind', async () => {
      const store = await start();
      for (let repository = 0; repository < 120; repository += 1) {
        const holder = { upstream: 'quay.io', repository: parseRepositoryName(`org/app-${repository}`) };
        await store.recordHoldings(
          holder,
          Array.from({ length: 20 }, (_, i) => ({ digest: digestNumber(repository * 20 + i), sizeBytes: 1 })),
        );
        await store.putTagList(holder, { items: ['v1'], checkedAt: repository });
      }
      await store.blobs.put({ digest: digestNumber(1234), sizeBytes: 1 }, 1);
      expect(await forgetAll(store, 119)).toBe(2399);
      const left = await store.images.repositories({}, 0, 200);
      expect(left.map(({ repository }) => repository)).toEqual(['org/app-61', 'org/app-119']);
    });
  });
}
