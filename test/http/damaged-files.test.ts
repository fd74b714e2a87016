import { execFile } from 'node:child_process';
import { mkdir, open, readFile, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { sourceBytes } from '../support/byte-source.ts';
import type { CacheConfig } from '../../src/config.ts';
import { ContentPaths } from '../../src/content/paths.ts';
import { type Digest, digestOf } from '../../src/oci/digest.ts';
import { closeAfterTest } from '../support/close-after-test.ts';
import { FakeRegistry } from '../support/fake-registry.ts';
import { Gate } from '../support/gate.ts';
import { generatedBlob } from '../support/generated-blob.ts';
import { get, openGet } from '../support/http-get.ts';
import { buildImage, pushTo } from '../support/images.ts';
import { startApp } from '../support/running-app.ts';
import { tempDir } from '../support/temp-dir.ts';

const MIB = 1024 * 1024;

async function start(dataDir?: string, cache: Partial<CacheConfig> = {}) {
  const registry = closeAfterTest(await FakeRegistry.start());
  const app = await startApp({
    upstreams: [{ name: 'docker.io', url: registry.url }],
    cache,
    ...(dataDir !== undefined && { dataDir }),
  });
  const urlOf = (digest: string) => `${app.url}/v2/library/app/blobs/${digest}`;
  const fileOf = (digest: Digest) => new ContentPaths(app.dataDir).file(digest);
  const warm = async (digest: string) => {
    await expect
      .poll(async () => (await get(urlOf(digest), { digestOnly: true })).headers['x-cache'], {
        interval: 10,
      })
      .toBe('HIT');
  };
  const metric = async (name: string) => {
    const { body } = await get(`${app.adminUrl}/metrics`);
    return Number(
      body
        .toString()
        .split('\n')
        .find((line) => line.startsWith(`${name} `))
        ?.split(' ')
        .at(-1),
    );
  };
  return { registry, app, urlOf, fileOf, warm, metric };
}

describe('a blob whose file', () => {
  it.each<[string, (file: string) => Promise<void>]>([
    ['is gone', (file) => rm(file)],
    ['is empty', (file) => truncate(file, 0)],
    ['is too short', (file) => truncate(file, 100_000)],
    ['is too long', (file) => truncate(file, 3 * MIB)],
    [
      'is a pipe that nobody writes into',
      async (file) => {
        await rm(file);
        await promisify(execFile)('mkfifo', [file]);
      },
    ],
    [
      'is a directory',
      async (file) => {
        await rm(file);
        await mkdir(file);
        await writeFile(join(file, 'x'), '');
      },
    ],
  ])('%s is fetched again in the same request, whole or in part, and counted', async (_what, damage) => {
    const { registry, urlOf, fileOf, warm, metric } = await start();
    const size = MIB + 17;
    const digest = registry.addBlob('library/app', { size, seed: 1 });
    const bytes = sourceBytes(generatedBlob({ size, seed: 1 }));
    await warm(digest);
    await damage(fileOf(digest));
    registry.forget();
    const again = await get(urlOf(digest), { digestOnly: true });
    expect(again).toMatchObject({ status: 200, complete: true, digest });
    expect(again.headers['x-cache']).toBe('MISS');
    expect(registry.blobBodyBytes()).toBe(size);
    expect(await metric('entrepot_integrity_failures_total{where="open"}')).toBe(1);
    await warm(digest);
    expect((await readFile(fileOf(digest))).equals(bytes)).toBe(true);
    await damage(fileOf(digest));
    const range = await get(urlOf(digest), { headers: { range: 'bytes=5-9' } });
    expect(range).toMatchObject({ status: 206, complete: true });
    expect(range.body.equals(bytes.subarray(5, 10))).toBe(true);
  });

  it('shrinks while it is read, behind what was sent, goes on from the upstream in the same answer', async () => {
    const { registry, urlOf, fileOf, warm, metric } = await start();
    const digest = registry.addBlob('library/app', { size: 48 * MIB, seed: 2 });
    await warm(digest);
    const gate = new Gate();
    const reading = await openGet(urlOf(digest), { digestOnly: true, pauseAfter: { bytes: 1000, gate } });
    await gate.arrived();
    await truncate(fileOf(digest), 24 * MIB);
    gate.open();
    expect(await reading.finished()).toMatchObject({ status: 200, complete: true, digest });
    expect(await metric('entrepot_integrity_failures_total{where="read"}')).toBe(1);
    expect(await get(urlOf(digest), { digestOnly: true })).toMatchObject({ complete: true, digest });
  });

  it('shrinks to less than was sent is not ended as if it were whole, and comes whole the next time', async () => {
    const { registry, urlOf, fileOf, warm, metric } = await start();
    const digest = registry.addBlob('library/app', { size: 48 * MIB, seed: 2 });
    await warm(digest);
    const gate = new Gate();
    const reading = await openGet(urlOf(digest), { digestOnly: true, pauseAfter: { bytes: 1000, gate } });
    await gate.arrived();
    await truncate(fileOf(digest), 10);
    gate.open();
    const cut = await reading.finished();
    expect(cut).toMatchObject({ status: 200, complete: false });
    expect(cut.length).toBeLessThan(48 * MIB);
    expect(await metric('entrepot_integrity_failures_total{where="read"}')).toBe(1);
    expect(await get(urlOf(digest), { digestOnly: true })).toMatchObject({ complete: true, digest });
  });

  it('is damaged while the upstream is away is an error before any byte, never a short 200', async () => {
    const { registry, urlOf, fileOf, warm } = await start();
    const digest = registry.addBlob('library/app', { size: MIB, seed: 3 });
    await warm(digest);
    await truncate(fileOf(digest), 10);
    registry.faults.add({ action: { respond: { status: 404 } } });
    expect(await get(urlOf(digest))).toMatchObject({ status: 404, complete: true });
  });
});

async function startRotten(position: number) {
  const { registry, urlOf, fileOf, warm, metric } = await start(undefined, { verifyOnRead: true });
  const digest = registry.addBlob('library/app', { size: 5 * MIB, seed: 5 });
  await warm(digest);
  const handle = await open(fileOf(digest), 'r+');
  const { atime, mtime } = await handle.stat();
  const byte = Buffer.alloc(1);
  await handle.read(byte, 0, 1, position);
  await handle.write(Buffer.from([(byte[0] ?? 0) ^ 1]), 0, 1, position);
  await handle.utimes(atime, mtime);
  await handle.close();
  const pull = () => get(urlOf(digest), { digestOnly: true });
  return { digest, pull, warm, metric };
}

describe('with verifyOnRead a bit that rotted', () => {
  it('in the last bytes is put right within the same answer', async () => {
    const { digest, pull, warm, metric } = await startRotten(5 * MIB - 10);
    expect(await pull()).toMatchObject({ status: 200, complete: true, digest });
    expect(await metric('entrepot_integrity_failures_total{where="read"}')).toBe(1);
    await warm(digest);
  });

  it('that was sent already keeps the answer from ending as whole, and the next is right', async () => {
    const { digest, pull, warm } = await startRotten(100);
    expect(await pull()).toMatchObject({ status: 200, complete: false });
    expect(await pull()).toMatchObject({ status: 200, complete: true, digest });
    await warm(digest);
  });
});

it('a manifest whose file is gone after a restart is fetched again in the same request', async () => {
  const { registry, app, fileOf } = await start();
  const image = buildImage();
  pushTo(registry, { repository: 'library/app', tag: 'v1', image });
  const ask = (url: string) => get(`${url}/v2/library/app/manifests/${image.root.digest}`);
  await ask(app.url);
  await app.close();
  await rm(fileOf(image.root.digest));
  const again = await startApp({
    upstreams: [{ name: 'docker.io', url: registry.url }],
    dataDir: app.dataDir,
  });
  expect(await ask(again.url)).toMatchObject({ status: 200, digest: image.root.digest });
});

describe('a digest by sha512', () => {
  it('is a key of its own: verified with its algorithm, cached, and nothing to the sha256 of the same bytes', async () => {
    const { registry, urlOf, warm } = await start();
    for (const size of [0, 1000, MIB]) {
      const bytes = sourceBytes(generatedBlob({ size, seed: 4 }));
      const long = digestOf(bytes, 'sha512');
      registry.content.addFalseBlob('library/app', long, bytes);
      const cold = await get(urlOf(long));
      expect(cold).toMatchObject({ status: 200, complete: true });
      expect(cold.body.equals(bytes)).toBe(true);
      expect(cold.headers['docker-content-digest']).toBe(long);
      await warm(long);
      expect((await get(urlOf(digestOf(bytes)))).status).toBe(404);
    }
  });

  it('of other bytes is refused, and not cached', async () => {
    const { registry, urlOf } = await start();
    const long = digestOf(Buffer.from('right'), 'sha512');
    registry.content.addFalseBlob('library/app', long, Buffer.from('wrong'));
    for (let round = 0; round < 2; round += 1) expect((await get(urlOf(long))).status).toBe(502);
  });
});

describe('at start', () => {
  it('what lies among the incoming files is swept, and a link among them leads nowhere', async () => {
    const dataDir = join(await tempDir(), 'data');
    const { ingest } = new ContentPaths(dataDir);
    const elsewhere = await tempDir();
    await writeFile(join(elsewhere, 'precious'), 'keep');
    await mkdir(join(ingest, 'deep'), { recursive: true });
    await writeFile(join(ingest, 'deep', 'left'), 'x');
    await symlink(elsewhere, join(ingest, 'link'));
    const { registry, urlOf, warm } = await start(dataDir);
    expect(await readFile(join(elsewhere, 'precious'), 'utf8')).toBe('keep');
    await expect(readFile(join(ingest, 'deep', 'left'))).rejects.toMatchObject({ code: 'ENOENT' });
    const digest = registry.addBlob('library/app', Buffer.from('fresh'));
    await warm(digest);
    expect((await get(urlOf(digest))).body.toString()).toBe('fresh');
  });

  it('a link in place of the directory of incoming files is taken away, not followed', async () => {
    const dataDir = join(await tempDir(), 'data');
    const { ingest, root } = new ContentPaths(dataDir);
    const elsewhere = await tempDir();
    await writeFile(join(elsewhere, 'precious'), 'keep');
    await mkdir(root, { recursive: true });
    await symlink(elsewhere, ingest);
    const { registry, warm } = await start(dataDir);
    await warm(registry.addBlob('library/app', Buffer.from('fresh')));
    expect(await readFile(join(elsewhere, 'precious'), 'utf8')).toBe('keep');
  });
});
