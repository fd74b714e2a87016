import { Readable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import type { NewImage, StoreContents } from '../../src/cache/store-contents.ts';
import { digestOf } from '../../src/oci/digest.ts';
import { parseRepositoryName, parseTag } from '../../src/oci/reference.ts';
import { get } from '../support/http-get.ts';
import { buildImage, type BuiltContent, type BuiltImage, buildReferrer, pushTo } from '../support/images.ts';
import { all, files, pullImage } from './store-operations-contract.ts';
import type { StoreSubject } from './store-subjects.ts';

const never = new AbortController().signal;
const MIB = 1024 * 1024;
const APP = parseRepositoryName('library/app');
/** Longer ago than tags are fresh, and not so long that they are not served any more. */
const YESTERDAY = Date.now() - 24 * 3_600_000;

/** In pieces that fit nothing. */
async function* pieces(bytes: Buffer, size = 100_003): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) {
    await Promise.resolve();
    yield Buffer.from(bytes.subarray(at, at + size));
  }
}

async function* unread(): AsyncGenerator<Uint8Array> {
  yield await Promise.reject(new Error('it was read'));
}

function add(
  contents: StoreContents,
  { digest, bytes }: Pick<BuiltContent, 'digest' | 'bytes'>,
): Promise<'added' | 'present'> {
  return contents.add({ digest, sizeBytes: bytes.length, upstream: 'docker.io' }, pieces(bytes), never);
}

async function addAll(contents: StoreContents, { root, manifests, blobs }: BuiltImage): Promise<void> {
  for (const content of [...blobs, ...manifests, root]) await add(contents, content);
}

function imageOf({ root }: BuiltImage, changes: Partial<NewImage> = {}): NewImage {
  const { digest, mediaType } = root;
  const tags = [parseTag('v1')];
  return {
    upstream: 'docker.io',
    repository: APP,
    tags,
    digest,
    mediaType,
    checkedAt: YESTERDAY,
    ...changes,
  };
}

/** What every StoreContents must do with what is brought. */
export function contentIntakeContract(name: string, start: () => Promise<StoreSubject>): void {
  const image = buildImage({
    seed: 1,
    layerSizes: [3 * MIB + 17, 5000],
    platforms: ['linux/amd64', 'linux/arm64'],
  });
  const other = buildImage({ seed: 2 });
  const large = image.blobs.find(({ size }) => size > 3 * MIB) ?? image.root;

  const begun = async (): Promise<StoreSubject> => {
    const subject = await start();
    // Makes the directory.
    await subject.app();
    return subject;
  };

  describe(`content brought to ${name}`, () => {
    it('is stored byte for byte, once', async () => {
      const subject = await begun();
      const contents = await subject.contents();
      expect(await add(contents, large)).toBe('added');
      expect(await files(subject.dataDir)).toEqual([large.digest.slice(-64)]);
      const { digest, size: sizeBytes } = large;
      expect(await contents.add({ digest, sizeBytes, upstream: 'docker.io' }, unread(), never)).toBe(
        'present',
      );
      const found = await contents.read(digest, never);
      const chunks = (await all(found?.body ?? Readable.from([]))) as Uint8Array[];
      expect(chunks.reduce((sum, chunk) => sum + chunk.length, 0)).toBe(sizeBytes);
    });

    it('without bytes is stored, too', async () => {
      const contents = await (await begun()).contents();
      const bytes = Buffer.alloc(0);
      expect(await add(contents, { digest: digestOf(bytes), bytes })).toBe('added');
      expect(await contents.lacking([digestOf(bytes)], never)).toEqual([]);
    });

    it.each([
      ['other bytes', (bytes: Buffer) => Buffer.concat([Buffer.from([1]), bytes.subarray(1)])],
      ['fewer bytes', (bytes: Buffer) => bytes.subarray(0, -1)],
      ['more bytes', (bytes: Buffer) => Buffer.concat([bytes, Buffer.from([1])])],
    ])('of %s is refused, and nothing of it is left', async (_, change) => {
      const subject = await begun();
      const contents = await subject.contents();
      const { digest, size: sizeBytes, bytes } = large;
      const adding = contents.add({ digest, sizeBytes, upstream: 'docker.io' }, pieces(change(bytes)), never);
      await expect(adding).rejects.toMatchObject({ name: 'StoreOperationError' });
      expect(await contents.lacking([digest], never)).toEqual([digest]);
      expect(await all(contents.list(never))).toEqual([]);
      // Of one who left in the middle of it a server hears a little later.
      const status = async () => (await subject.operations()).status(never);
      await expect.poll(status).toMatchObject({ blobs: 0, reservedBytes: 0 });
    });

    it('whose bytes cannot be had is as if it had not been brought', async () => {
      const subject = await begun();
      const contents = await subject.contents();
      const { digest, size: sizeBytes } = large;
      async function* broken(): AsyncGenerator<Uint8Array> {
        yield* pieces(large.bytes.subarray(0, MIB));
        throw new Error('the medium was pulled out');
      }
      const adding = contents.add({ digest, sizeBytes, upstream: 'docker.io' }, broken(), never);
      await expect(adding).rejects.toThrow('the medium was pulled out');
      expect(await add(contents, large)).toBe('added');
    });

    it('that nobody wants any more leaves no room promised', async () => {
      const subject = await begun();
      const contents = await subject.contents();
      const { digest, size: sizeBytes } = large;
      const leaving = new AbortController();
      const adding = contents.add({ digest, sizeBytes, upstream: 'docker.io' }, unread(), leaving.signal);
      leaving.abort(new Error('it is wanted no more'));
      await expect(adding).rejects.toThrow('it is wanted no more');
      expect(await (await subject.operations()).status(never)).toMatchObject({ blobs: 0, reservedBytes: 0 });
    });
  });

  describe(`an image brought to ${name}`, () => {
    it('is served without an upstream, and bringing it again changes nothing', async () => {
      const subject = await begun();
      const contents = await subject.contents();
      await addAll(contents, image);
      expect(await contents.addImage(imageOf(image), never)).toBe('added');
      expect(await contents.addImage(imageOf(image), never)).toBe('present');
      const listed = await all((await subject.operations()).images({}, never));
      expect(listed).toMatchObject([{ tags: ['v1'], digest: image.root.digest, upstream: 'docker.io' }]);
      const app = await subject.app();
      await subject.registry.close();
      expect(await pullImage(app, 'library/app', 'v1', image)).toBe('STALE');
    });

    it('alone says nothing of the manifests that it lists', async () => {
      const contents = await (await begun()).contents();
      await addAll(contents, image);
      expect(await contents.addImage(imageOf(image, { isAlone: true }), never)).toBe('added');
      const { root, manifests } = image;
      const wanted = [root, ...manifests].map(({ digest }) => ({ digest, isManifest: true }));
      const key = { upstream: 'docker.io', repository: APP };
      expect(await contents.withheld(key, wanted, never)).toEqual(manifests.map(({ digest }) => digest));
    });

    it('whose manifest is not stored is refused', async () => {
      const contents = await (await begun()).contents();
      await expect(contents.addImage(imageOf(image), never)).rejects.toMatchObject({
        name: 'StoreOperationError',
        reason: 'invalid',
      });
    });

    it('leaves a tag as it is that its upstream was asked about later', async () => {
      const subject = await start();
      pushTo(subject.registry, { repository: 'library/app', tag: 'v1', image: other });
      await pullImage(await subject.app(), 'library/app', 'v1', other);
      const contents = await subject.contents();
      await addAll(contents, image);
      expect(await contents.addImage(imageOf(image), never)).toBe('added');
      const meaning = async (): Promise<unknown> => {
        const listed = await all((await subject.operations()).images({}, never));
        return listed.find(({ tags }) => tags.includes('v1'))?.digest;
      };
      expect(await meaning()).toBe(other.root.digest);
      // From a clock that is ahead: it counts as of now.
      await contents.addImage(imageOf(image, { checkedAt: Date.now() + 3_600_000 }), never);
      expect(await meaning()).toBe(image.root.digest);
    });

    it('that refers to another is among its referrers', async () => {
      const subject = await begun();
      const contents = await subject.contents();
      const signature = buildReferrer(image.root, { artifactType: 'application/x-signature', payload: 's' });
      await addAll(contents, image);
      for (const content of [...signature.blobs, signature.manifest]) await add(contents, content);
      await contents.addImage(imageOf(image), never);
      const { digest, mediaType } = signature.manifest;
      const referrer = imageOf(image, { tags: [], digest, mediaType });
      expect(await contents.addImage(referrer, never)).toBe('added');
      expect(await contents.addImage(referrer, never)).toBe('present');
      const key = { upstream: 'docker.io', repository: APP };
      expect(await contents.referrers(key, image.root.digest, never)).toEqual([
        { mediaType, digest, size: signature.manifest.size, artifactType: 'application/x-signature' },
      ]);
      const app = await subject.app();
      await subject.registry.close();
      const answer = await get(`${app.url}/v2/library/app/referrers/${image.root.digest}`);
      expect(JSON.parse(answer.body.toString())).toMatchObject({ manifests: [{ digest }] });
    });
  });
}
