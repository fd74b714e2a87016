import { open, rm, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { errorCode } from '../../src/content/content-error.ts';
import { closeAfterTest } from '../support/close-after-test.ts';
import { FakeRegistry } from '../support/fake-registry.ts';
import { get } from '../support/http-get.ts';
import { hurriedClock } from '../support/hurried-clock.ts';
import { type BuiltImage, buildImage, pushTo } from '../support/images.ts';
import { mountedExt4, mountedTmpfs } from '../support/mounts.ts';
import { describeWith } from '../support/programs.ts';
import { type RunningApp, startApp } from '../support/running-app.ts';

const KIB = 1024;
const DISK_BYTES = 64 * KIB * KIB;
/** What is left free while pulls go on. */
const ROOMS = [8192, 3000, 1500, 700, 300, 200, 100, 40, 12, 4, 0, 0, 4096, 64, 0].map((kib) => kib * KIB);
const FILLER = 'filler';

/** Takes all of a disk but so many bytes. */
async function fill(at: string, roomBytes: number): Promise<void> {
  await rm(join(at, FILLER), { force: true });
  const file = await open(join(at, FILLER), 'w');
  try {
    let size = 0;
    for (let step = 1024 * KIB; step >= 512;) {
      try {
        const { bytesWritten } = await file.write(Buffer.alloc(step, 1), 0, step, size);
        size += bytesWritten;
        // A disk that delays what it allocates says no only now.
        await file.sync();
      } catch (cause) {
        if (errorCode(cause) !== 'ENOSPC') throw cause;
        step /= 2;
      }
    }
    await file.truncate(Math.max(0, size - roomBytes));
    await file.sync();
  } finally {
    await file.close();
  }
}

/** @throws when anything of it is not answered with the right bytes. @returns how its layers were served */
async function pull({ url }: RunningApp, image: BuiltImage, tag: string): Promise<readonly string[]> {
  const root = await get(`${url}/v2/library/app/manifests/${tag}`, {
    headers: { accept: image.root.mediaType },
  });
  expect(root).toMatchObject({ status: 200, complete: true, digest: image.root.digest });
  const outcomes = await Promise.all(
    image.blobs.map(async ({ digest }) => {
      const blob = await get(`${url}/v2/library/app/blobs/${digest}`, { digestOnly: true });
      expect(blob).toMatchObject({ status: 200, complete: true, digest });
      return String(blob.headers['x-cache']);
    }),
  );
  return outcomes;
}

describeWith(
  { programs: ['mount', 'umount', 'mkfs.ext4', 'losetup'], root: true, mounts: ['tmpfs', 'loop'] },
  'a small disk that is full',
  () => {
    it.each([
      ['tmpfs', () => mountedTmpfs(`size=${DISK_BYTES}`)],
      ['ext4', () => mountedExt4(DISK_BYTES)],
    ])(
      'of %s, to the last byte, fails no pull and no start, and is stored to again when there is room',
      { timeout: 300_000 },
      async (_kind, mount) => {
        const at = await mount();
        const dataDir = join(at, 'data');
        const registry = closeAfterTest(await FakeRegistry.start());
        const begin = () => startApp({ upstreams: [{ name: 'docker.io', url: registry.url }], dataDir });
        const images = ROOMS.map((_room, n) =>
          buildImage({ seed: n + 1, layerSizes: [1_500_000, 200_000, 3000] }),
        );
        images.forEach((image, n) => pushTo(registry, { repository: 'library/app', tag: `t${n}`, image }));
        let app = await begin();
        let bypassed = 0;
        for (const [n, room] of ROOMS.entries()) {
          await fill(at, room);
          for (const each of [n, n, Math.max(0, n - 1), 0]) {
            const image = images[each];
            expect.assert(image !== undefined);
            const outcomes = await pull(app, image, `t${each}`);
            bypassed += outcomes.filter((outcome) => outcome === 'BYPASS').length;
          }
          if (n % 3 !== 2) continue;
          await app.close();
          await fill(at, 0);
          app = await begin();
        }
        // Otherwise it would have shown nothing.
        expect(bypassed).toBeGreaterThan(10);
        await rm(join(at, FILLER));
        const [first] = images;
        expect.assert(first !== undefined);
        await expect
          .poll(() => pull(app, first, 't0'), { timeout: 90_000, interval: 500 })
          .toEqual(first.blobs.map(() => 'HIT'));
        await app.close();
        app = await begin();
        expect(await pull(app, first, 't0')).toEqual(first.blobs.map(() => 'HIT'));
      },
    );
  },
);

describeWith(
  { programs: ['mount', 'umount'], root: true, mounts: ['tmpfs'] },
  'a disk that others fill up',
  () => {
    it(
      'to the last byte is given room again, down to what is to stay free',
      { timeout: 60_000 },
      async () => {
        const at = await mountedTmpfs(`size=${DISK_BYTES}`);
        const registry = closeAfterTest(await FakeRegistry.start());
        const digests = Array.from({ length: 20 }, (_, n) =>
          registry.addBlob('library/app', { size: 2_000_000, seed: n + 1 }),
        );
        const app = await startApp({
          upstreams: [{ name: 'docker.io', url: registry.url }],
          dataDir: join(at, 'data'),
          cache: { minFreeSpace: { bytes: 10_000_000 } },
          // The disk is looked at every half minute.
          clock: hurriedClock(20),
        });
        for (const digest of digests) {
          const blob = await get(`${app.url}/v2/library/app/blobs/${digest}`, { digestOnly: true });
          expect(blob).toMatchObject({ status: 200, digest });
        }
        await fill(at, 0);
        const free = async () => {
          const { bavail, bsize } = await statfs(at);
          return bavail * bsize;
        };
        expect(await free()).toBeLessThan(100_000);
        await expect.poll(free, { timeout: 40_000, interval: 200 }).toBeGreaterThanOrEqual(10_000_000);
        const last = await get(`${app.url}/v2/library/app/blobs/${digests.at(-1)}`, { digestOnly: true });
        expect(last).toMatchObject({ status: 200, digest: digests.at(-1) });
      },
    );
  },
);
