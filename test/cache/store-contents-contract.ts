import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import type { ContentEntry, StoreContents } from '../../src/cache/store-contents.ts';
import { type Digest, digestOf } from '../../src/oci/digest.ts';
import { parseRepositoryName } from '../../src/oci/reference.ts';
import { get } from '../support/http-get.ts';
import { buildImage, buildReferrer, pushTo } from '../support/images.ts';
import { SOON } from '../support/soon.ts';
import { all, pullImage } from './store-operations-contract.ts';
import type { StoreSubject } from './store-subjects.ts';

const never = new AbortController().signal;
const MIB = 1024 * 1024;

async function bytesOf(contents: StoreContents, digest: Digest): Promise<Buffer | undefined> {
  const found = await contents.read(digest, never);
  if (found === undefined) return undefined;
  const chunks: Buffer[] = [];
  // Lent, so copied.
  for await (const chunk of found.body) chunks.push(Buffer.from(chunk));
  const bytes = Buffer.concat(chunks);
  expect(bytes).toHaveLength(found.sizeBytes);
  return bytes;
}

async function garble(dataDir: string, digest: Digest): Promise<void> {
  const root = join(dataDir, 'content', 'v1', 'sha256');
  const names = await readdir(root, { recursive: true });
  const name = names.find((path) => path.endsWith(digest.slice(-62)));
  if (name === undefined) throw new Error(`${digest} has no file`);
  const bytes = await readFile(join(root, name));
  // In the middle, so that opening it does not find out.
  bytes[Math.floor(bytes.length / 2)] = (bytes[Math.floor(bytes.length / 2)] ?? 0) ^ 1;
  await writeFile(join(root, name), bytes);
}

function byDigest(one: ContentEntry, other: ContentEntry): number {
  return one.digest < other.digest ? -1 : 1;
}

/** What every StoreContents must do. `start` gives a product whose upstream docker.io is the fake registry. */
export function storeContentsContract(name: string, start: () => Promise<StoreSubject>): void {
  const image = buildImage({ seed: 1, layerSizes: [3 * MIB + 17, 5000] });
  const everything = [image.root, ...image.blobs];
  const large = image.blobs.find(({ size }) => size > 3 * MIB) ?? image.root;
  const absent = digestOf(Buffer.from('absent'));

  const withImage = async (): Promise<StoreSubject> => {
    const subject = await start();
    pushTo(subject.registry, { repository: 'library/app', tag: 'v1', image });
    const app = await subject.app();
    await pullImage(app, 'library/app', 'v1', image);
    await vi.waitFor(async () => {
      const operations = await subject.operations();
      expect(await operations.status(never)).toMatchObject({ blobs: everything.length, reservedBytes: 0 });
    }, SOON);
    return subject;
  };

  describe(`contents by ${name}`, () => {
    it('are read byte for byte', async () => {
      const contents = await (await withImage()).contents();
      for (const { digest, bytes } of everything)
        expect((await bytesOf(contents, digest))?.equals(bytes)).toBe(true);
    });

    it('that are not stored are not there', async () => {
      const contents = await (await withImage()).contents();
      expect(await contents.read(absent, never)).toBeUndefined();
    });

    it('fail in place of their last bytes when they turn out damaged, and are not there after that', async () => {
      const subject = await withImage();
      const { digest } = large;
      await garble(subject.dataDir, digest);
      const contents = await subject.contents();
      await expect(bytesOf(contents, digest)).rejects.toMatchObject({
        name: 'StoreOperationError',
        reason: 'failed',
      });
      expect(await contents.read(digest, never)).toBeUndefined();
      expect(await contents.lacking([digest], never)).toEqual([digest]);
    });

    it('may be left unread, or half read', async () => {
      const contents = await (await withImage()).contents();
      const { digest, size } = large;
      // More than any bound on what may be open at once.
      for (let round = 0; round < 40; round += 1) {
        const unread = await contents.read(digest, never);
        await unread?.body[Symbol.asyncIterator]().return?.();
        const leaving = new AbortController();
        const left = await contents.read(digest, leaving.signal);
        leaving.abort(new Error('left'));
        await expect(left?.body[Symbol.asyncIterator]().next()).rejects.toThrow('left');
        const half = await contents.read(digest, never);
        for await (const chunk of half?.body ?? []) {
          expect(chunk.length).toBeGreaterThan(0);
          break;
        }
      }
      expect(await bytesOf(contents, digest)).toHaveLength(size);
    });

    it('are listed', async () => {
      const contents = await (await withImage()).contents();
      const found = await all(contents.list(never));
      expect(found.toSorted(byDigest)).toEqual(
        everything.map(({ digest, bytes }) => ({ digest, sizeBytes: bytes.length })).toSorted(byDigest),
      );
    });

    it('are told from what is not stored, however many are asked for', async () => {
      const contents = await (await withImage()).contents();
      const many = Array.from({ length: 2500 }, (_, at) => digestOf(Buffer.from(`absent ${at}`)));
      const [first, ...rest] = many;
      const asked = [first ?? absent, ...everything.map(({ digest }) => digest), ...rest];
      expect(await contents.lacking(asked, never)).toEqual(many);
      expect(await contents.lacking([], never)).toEqual([]);
    });

    it('are told from what its clients are not given, repository by repository', async () => {
      const subject = await withImage();
      const app = await subject.app();
      // Held here by the word of a HEAD alone: not known to be a manifest.
      const second = buildImage({ seed: 2 });
      pushTo(subject.registry, { repository: 'library/app', tag: 'v2', image: second });
      const head = await get(`${app.url}/v2/library/app/manifests/v2`, { method: 'HEAD' });
      expect(head.status).toBe(200);
      const contents = await subject.contents();
      const repository = parseRepositoryName('library/app');
      const withheld = (of: string, isManifest: boolean, digests: readonly Digest[]) =>
        contents.withheld(
          { upstream: 'docker.io', repository: parseRepositoryName(of) },
          digests.map((digest) => ({ digest, isManifest })),
          never,
        );
      const blobs = image.blobs.map(({ digest }) => digest);
      expect(await withheld(repository, false, [absent, ...blobs])).toEqual([absent]);
      expect(await withheld(repository, true, [image.root.digest])).toEqual([]);
      expect(await withheld(repository, true, [second.root.digest, ...blobs])).toEqual([
        second.root.digest,
        ...blobs,
      ]);
      expect(await withheld('library/other', false, blobs)).toEqual(blobs);
      const many = Array.from({ length: 1500 }, (_, at) => digestOf(Buffer.from(`absent ${at}`)));
      expect(await withheld(repository, false, [...many, ...blobs])).toEqual(many);
    });

    it('have the referrers that their repository was told of', async () => {
      const subject = await withImage();
      const { digest } = image.root;
      const key = { upstream: 'docker.io', repository: parseRepositoryName('library/app') };
      expect(await (await subject.contents()).referrers(key, digest, never)).toEqual([]);
      const { manifest } = buildReferrer(image.root, { artifactType: 'text/spdx', payload: 'an SBOM' });
      subject.registry.addManifest('library/app', manifest.bytes, manifest.mediaType);
      const app = await subject.app();
      expect((await get(`${app.url}/v2/library/app/referrers/${digest}`)).status).toBe(200);
      const found = await (await subject.contents()).referrers(key, digest, never);
      expect(found).toMatchObject([{ digest: manifest.digest }]);
    });
  });
}
