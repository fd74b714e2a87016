import { existsSync } from 'node:fs';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { diskFileSystem } from '../../src/content/file-system.ts';
import { ContentPaths } from '../../src/content/paths.ts';
import { type Digest, digestOf } from '../../src/oci/digest.ts';
import { closeAfterTest } from '../support/close-after-test.ts';
import { FakeRegistry } from '../support/fake-registry.ts';
import { Gate } from '../support/gate.ts';
import { get } from '../support/http-get.ts';
import { buildImage, pushTo } from '../support/images.ts';
import { type RunningAppOptions, startApp } from '../support/running-app.ts';

const KIB = 1024;
const MIB = 1024 * KIB;

/** The whole product with two upstreams, the first of them the default. */
async function start(options: Partial<RunningAppOptions> = {}, share?: number) {
  const registry = closeAfterTest(await FakeRegistry.start());
  const other = closeAfterTest(await FakeRegistry.start());
  const app = await startApp({
    upstreams: [
      { name: 'reg.example', url: registry.url },
      { name: 'other.example', url: other.url, ...(share !== undefined && { maxSize: { bytes: share } }) },
    ],
    ...options,
  });
  let seeds = 0;
  const add = (size: number, to = registry) => to.addBlob('team/app', { size, seed: (seeds += 1) });
  /** How it was served; waits until it is stored, if it is to be. */
  const pull = async (digest: Digest, from = '') => {
    const result = await get(`${app.url}/v2/${from}team/app/blobs/${digest}`, { digestOnly: true });
    expect([result.status, result.digest]).toEqual([200, digest]);
    const outcome = String(result.headers['x-cache']);
    if (outcome === 'MISS') await expect.poll(() => isStored(digest)).toBe(true);
    await expect.poll(() => metric('entrepot_fills_in_flight')).toBe(0);
    return outcome;
  };
  const paths = new ContentPaths(app.dataDir);
  const isStored = (digest: Digest) => existsSync(paths.file(digest));
  const metric = async (name: string) => {
    const { body } = await get(`${app.adminUrl}/metrics`);
    return Number(
      body.toString().match(new RegExp(`^${name.replace(/[{}]/g, String.raw`\$&`)} (\\S+)$`, 'm'))?.[1],
    );
  };
  return { registry, other, app, add, pull, isStored, metric };
}

describe('what is larger than one blob may be', () => {
  it('passes by, whole and in part, again and again; what is not is stored', async () => {
    const { add, pull, isStored, app } = await start({ cache: { maxBlobBytes: MIB } });
    const [small, large] = [add(MIB), add(MIB + 1)];
    expect([await pull(small), await pull(small)]).toEqual(['MISS', 'HIT']);
    expect([await pull(large), await pull(large)]).toEqual(['BYPASS', 'BYPASS']);
    const part = await get(`${app.url}/v2/team/app/blobs/${large}`, {
      headers: { range: 'bytes=10-900000' },
    });
    expect([part.status, part.length, part.headers['x-cache']]).toEqual([206, 899_991, 'BYPASS']);
    expect(isStored(large)).toBe(false);
  });
});

/** Status and digest of the body. */
async function read(response: Promise<Response>): Promise<readonly [number, Digest]> {
  const { status, body } = await response.then(async (got) => ({
    status: got.status,
    body: await got.arrayBuffer(),
  }));
  return [status, digestOf(Buffer.from(body))];
}

const right = (digests: readonly Digest[]) => digests.map((digest) => [200, digest]);

describe('more that cannot be stored than there is memory for', () => {
  it('passes by in its turn, none is refused; and small ones take no more of it than they are', async () => {
    const { add, app, registry } = await start({ cache: { maxBlobBytes: 4096 } });
    const ask = async (digest: Digest) => fetch(`${app.url}/v2/team/app/blobs/${digest}`);
    const addMany = (length: number, size: number) => Array.from({ length }, () => add(size));
    // All of the memory but for one window is taken.
    const gate = new Gate();
    const stall = registry.faults.add({
      match: { method: 'GET' },
      action: { stallAfter: { bytes: 9, gate } },
    });
    const slow = addMany(31, 3 * MIB);
    const held = slow.map(ask);
    await gate.arrived(31);
    stall.remove();

    const small = addMany(20, 9 * KIB);
    expect(await Promise.all(small.map(ask).map(read))).toEqual(right(small));
    const late = addMany(4, 3 * MIB);
    const waiting = late.map(ask);
    gate.open();
    expect(await Promise.all([...held, ...waiting].map(read))).toEqual(right([...slow, ...late]));
  });
});

describe("an upstream's share", () => {
  it('is all that it gets: its own oldest blobs go, and nothing of another', async () => {
    const { other, add, pull, isStored } = await start({}, MIB);
    const first = add(2 * MIB);
    expect(await pull(first)).toBe('MISS');
    const theirs = [add(500 * KIB, other), add(500 * KIB, other), add(500 * KIB, other)];
    for (const digest of theirs) expect(await pull(digest, 'other.example/')).toBe('MISS');
    expect(theirs.filter(isStored)).toHaveLength(2);
    expect(isStored(first)).toBe(true);
    const tooLarge = add(MIB + 1, other);
    expect(await pull(tooLarge, 'other.example/')).toBe('BYPASS');
    expect(theirs.filter(isStored)).toHaveLength(2);
    // The same blob from where there is room is kept.
    const again = add(4096);
    other.addBlob('team/app', { size: 4096, seed: 6 });
    expect(await pull(again)).toBe('MISS');
    expect(await pull(again)).toBe('HIT');
  });
});

describe('space that is to stay free', () => {
  it('is not used, however much the cache may hold', async () => {
    let freeBytes = 10 * MIB;
    const spy = vi
      .spyOn(diskFileSystem, 'space')
      .mockImplementation(() => Promise.resolve({ totalBytes: 1000 * MIB, freeBytes, blockBytes: 4096 }));
    onTestFinished(() => spy.mockRestore());
    const { add, pull, metric } = await start({ cache: { minFreeSpace: { share: 0.005 } } });
    expect(await metric('entrepot_store_limit_bytes')).toBe(5 * MIB);
    expect(await pull(add(6 * MIB))).toBe('BYPASS');
    const kept = add(4 * MIB);
    expect(await pull(kept)).toBe('MISS');
    freeBytes = 6 * MIB;
    expect(await pull(kept)).toBe('HIT');
    await expect.poll(() => metric('entrepot_store_reserved_bytes')).toBe(0);
    expect(await metric('entrepot_store_bytes')).toBe(4 * MIB);
  });
});

describe('a store that fails', () => {
  it.each([
    ['ENOSPC', 'disk-full'],
    ['EROFS', 'read-only'],
    ['EMFILE', 'exhausted'],
  ])(
    'by %s is told in the log, by a metric and to /readyz, while pulls go on; and that it is over',
    async (code, reason) => {
      const { app, add, pull, metric } = await start();
      const [one, two] = [add(100 * KIB), add(100 * KIB)];
      expect(await metric(`entrepot_store_trouble{reason="${reason}"}`)).toBe(0);
      const spy = vi
        .spyOn(diskFileSystem, 'write')
        .mockRejectedValue(Object.assign(new Error(code), { code }));
      onTestFinished(() => spy.mockRestore());
      const outcomes = [await pullUnstored(one), await pullUnstored(two), await pullUnstored(one)];
      expect(outcomes.slice(1)).toEqual(['BYPASS', 'BYPASS']);
      expect(await metric(`entrepot_store_trouble{reason="${reason}"}`)).toBe(1);
      const ready = await get(`${app.adminUrl}/readyz`);
      expect(ready.status).toBe(503);
      expect(ready.body.toString()).toContain(`nothing can be stored, pulls go on without it (${reason}`);
      const lines = () =>
        app.logLines.filter(({ msg }) => /^the store (?:is in trouble|can be written)/.test(msg));
      expect(lines()).toMatchObject([{ level: 'error', reason }]);
      spy.mockRestore();
      expect((await get(`${app.adminUrl}/readyz`)).status).toBe(200);
      expect(await metric(`entrepot_store_trouble{reason="${reason}"}`)).toBe(0);
      expect(lines()).toMatchObject([{ reason }, { level: 'info', reason }]);
      expect([await pull(one), await pull(one)]).toEqual(['MISS', 'HIT']);

      async function pullUnstored(digest: Digest): Promise<string> {
        const result = await get(`${app.url}/v2/team/app/blobs/${digest}`, { digestOnly: true });
        expect([result.status, result.digest]).toEqual([200, digest]);
        return String(result.headers['x-cache']);
      }
    },
  );
});

describe('a cache that is full', () => {
  it('keeps manifests and configs while layers come and go', async () => {
    const { registry, app, add, pull, isStored } = await start({ cache: { maxSize: { bytes: 3 * MIB } } });
    const base = { size: 300 * KIB, seed: 900 };
    const images = [1, 2, 3].map((seed) => buildImage({ seed, layerSizes: [200 * KIB], base }));
    for (const [n, image] of images.entries()) {
      pushTo(registry, { repository: 'team/app', tag: `v${n}`, image });
      expect((await get(`${app.url}/v2/team/app/manifests/v${n}`)).status).toBe(200);
      for (const { digest } of image.blobs) await pull(digest);
    }
    for (let n = 0; n < 12; n += 1) expect(await pull(add(400 * KIB))).toBe('MISS');
    const kept = images.flatMap(({ root, manifests }) => [root, ...manifests.map(({ config }) => config)]);
    for (const { digest } of kept) await expect.poll(() => isStored(digest)).toBe(true);
    const layers = images.flatMap(({ manifests }) => manifests[0]?.layers ?? []);
    expect(layers.some(({ digest }) => !isStored(digest))).toBe(true);
  });
});
