import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { Agent, request } from 'node:http';
import { connect } from 'node:net';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { OCI_INDEX } from '../../src/oci/media-type.ts';
import { closeAfterTest } from '../support/close-after-test.ts';
import { EntrepotProcess } from '../support/entrepot-process.ts';
import { FakeRegistry } from '../support/fake-registry.ts';
import { Gate } from '../support/gate.ts';
import { generatedBlobDigest } from '../support/generated-blob.ts';
import { get, openGet, type OpenResponse } from '../support/http-get.ts';
import { tempDir } from '../support/temp-dir.ts';

const MIB = 1024 * 1024;
const BLOB = { size: 8 * MIB, seed: 71 };

interface PullInFlight {
  readonly entrepot: EntrepotProcess;
  readonly registry: FakeRegistry;
  readonly pull: OpenResponse;
  /** Lets the upstream send the rest. */
  readonly rest: Gate;
  readonly blobUrl: string;
}

/** A client has the first bytes of a blob, whose rest the upstream holds back. */
async function pullInFlight(config: Readonly<Record<string, unknown>> = {}): Promise<PullInFlight> {
  const registry = closeAfterTest(await FakeRegistry.start());
  const digest = registry.addBlob('library/app', BLOB);
  const rest = new Gate();
  registry.faults.add({
    match: { path: /\/blobs\// },
    action: { stallAfter: { bytes: 2 * MIB, gate: rest } },
  });
  const upstreams = { 'docker.io': { url: registry.url, default: true } };
  const entrepot = await EntrepotProcess.start({ config: { upstreams, ...config } });
  const blobUrl = `${entrepot.url}/v2/library/app/blobs/${digest}`;
  const pull = await openGet(blobUrl, { digestOnly: true });
  await pull.read(MIB);
  return { entrepot, registry, pull, rest, blobUrl };
}

async function refused(url: string): Promise<boolean> {
  try {
    await get(url);
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ECONNREFUSED';
  }
}

async function readiness(entrepot: EntrepotProcess): Promise<number> {
  return (await get(`${entrepot.adminUrl}/readyz`)).status;
}

test.each(['SIGTERM', 'SIGINT'] as const)(
  'after %s a pull in flight goes on to its end, nobody new is let in, and it ends with 0',
  async (signal) => {
    const { entrepot, pull, rest } = await pullInFlight();
    expect(await readiness(entrepot)).toBe(200);
    entrepot.signal(signal);
    await entrepot.logged('stopping: pulls in flight may end');
    await expect.poll(() => refused(`${entrepot.url}/v2/`)).toBe(true);
    expect(await readiness(entrepot)).toBe(503);
    expect(entrepot.isRunning).toBe(true);

    rest.open();
    expect(await pull.finished()).toMatchObject({
      status: 200,
      complete: true,
      digest: generatedBlobDigest(BLOB),
    });
    expect(await entrepot.ended).toEqual({ code: 0, signal: null });
    expect(entrepot.log.at(-1)).toMatchObject({ msg: 'stopped' });
  },
);

test('what was pulled while it stopped is there after a restart', async () => {
  const { entrepot, registry, pull, rest } = await pullInFlight();
  entrepot.signal('SIGTERM');
  await entrepot.logged('stopping: pulls in flight may end');
  rest.open();
  await pull.finished();
  expect(await entrepot.ended).toEqual({ code: 0, signal: null });

  const upstreams = { 'docker.io': { url: registry.url, default: true } };
  const again = await EntrepotProcess.start({ dataDir: entrepot.dataDir, config: { upstreams } });
  registry.forget();
  const digest = generatedBlobDigest(BLOB);
  const warm = await get(`${again.url}/v2/library/app/blobs/${digest}`, { digestOnly: true });
  expect(warm).toMatchObject({ status: 200, complete: true, digest });
  expect(registry.count()).toBe(0);
});

test('a client that keeps its connection does not hold up the end once its pull is over', async () => {
  const registry = closeAfterTest(await FakeRegistry.start());
  const digest = registry.addBlob('library/app', BLOB);
  const rest = new Gate();
  registry.faults.add({
    match: { path: /\/blobs\// },
    action: { stallAfter: { bytes: 2 * MIB, gate: rest } },
  });
  const upstreams = { 'docker.io': { url: registry.url, default: true } };
  const entrepot = await EntrepotProcess.start({ config: { upstreams, shutdownGrace: '1m' } });
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  closeAfterTest({ close: async () => agent.destroy() });

  const path = `/v2/library/app/blobs/${digest}`;
  const pulled = new Promise<number>((resolve, reject) => {
    const asking = request(`${entrepot.url}${path}`, { agent }, (response) => {
      let length = 0;
      response.on('data', (chunk: Buffer) => (length += chunk.length));
      response.on('end', () => resolve(length));
      response.on('error', reject);
    });
    asking.on('error', reject);
    asking.end();
  });
  await registry.received({ path: /\/blobs\// });
  entrepot.signal('SIGTERM');
  await entrepot.logged('stopping: pulls in flight may end');
  rest.open();
  expect(await pulled).toBe(BLOB.size);
  // Long before the grace of a minute is over, or the test times out.
  expect(await entrepot.ended).toEqual({ code: 0, signal: null });
});

test('a second signal ends it at once, and the pull in flight is broken off, not completed', async () => {
  const { entrepot, pull } = await pullInFlight();
  entrepot.signal('SIGTERM');
  await entrepot.logged('stopping: pulls in flight may end');
  entrepot.signal('SIGTERM');
  expect(await entrepot.ended).toEqual({ code: 143, signal: null });
  expect(await pull.finished()).toMatchObject({ status: 200, complete: false });
});

test('when the grace is over a pull in flight is broken off, and it ends with 0', async () => {
  const { entrepot, pull } = await pullInFlight({ shutdownGrace: '300ms' });
  entrepot.signal('SIGTERM');
  expect(await pull.finished()).toMatchObject({ status: 200, complete: false });
  expect(await entrepot.ended).toEqual({ code: 0, signal: null });
});

test('idle connections do not hold it up', async () => {
  const entrepot = await EntrepotProcess.start({ config: { shutdownGrace: '1m' } });
  const agent = new Agent({ keepAlive: true });
  closeAfterTest({ close: async () => agent.destroy() });
  for (const url of [`${entrepot.url}/v2/`, `${entrepot.adminUrl}/healthz`]) {
    await new Promise<void>((resolve, reject) => {
      const asking = request(url, { agent }, (response) => response.resume().on('end', resolve));
      asking.on('error', reject);
      asking.end();
    });
  }
  expect(await entrepot.stop()).toEqual({ code: 0, signal: null });
});

test('a reader who is slow at the end of a cached blob gets all of it while it stops', async () => {
  const registry = closeAfterTest(await FakeRegistry.start());
  const upstreams = { 'docker.io': { url: registry.url, default: true } };
  const entrepot = await EntrepotProcess.start({ config: { upstreams } });
  // How much the system buffers is not known: with many sizes some end is written but not yet sent.
  const sizes = Array.from({ length: 24 }, (_, number) => (number + 1) * (MIB / 2) + 17);
  const urls = sizes.map((size) => {
    const digest = registry.addBlob('library/app', { size, seed: size });
    return `${entrepot.url}/v2/library/app/blobs/${digest}`;
  });
  for (const url of urls) await get(url, { digestOnly: true });
  const gate = new Gate();
  const slow = { digestOnly: true, pauseAfter: { bytes: 1, gate } };
  const pulls = await Promise.all(urls.map((url) => openGet(url, slow)));
  await gate.arrived(pulls.length);
  // What can be sent before they read on is sent.
  await expect
    .poll(() => entrepot.requests.filter(({ outcome }) => outcome === 'hit').length)
    .toBeGreaterThan(0);
  entrepot.signal('SIGTERM');
  await entrepot.logged('stopping: pulls in flight may end');
  await expect.poll(() => refused(`${entrepot.url}/v2/`)).toBe(true);
  gate.open();
  const results = await Promise.all(pulls.map((pull) => pull.finished()));
  expect(results.map(({ length }) => length)).toEqual(sizes);
  expect(await entrepot.ended).toEqual({ code: 0, signal: null });
});

test('a reader who is slow at the end of a big manifest gets all of it while it stops', async () => {
  const registry = closeAfterTest(await FakeRegistry.start());
  const upstreams = { 'docker.io': { url: registry.url, default: true } };
  const entrepot = await EntrepotProcess.start({ config: { upstreams } });
  const annotations = { padding: 'x'.repeat(4 * MIB - 1000) };
  const document = JSON.stringify({ schemaVersion: 2, mediaType: OCI_INDEX, manifests: [], annotations });
  const digest = registry.addManifest('library/app', document, OCI_INDEX, ['big']);
  const path = `/v2/library/app/manifests/${digest}`;
  expect((await get(entrepot.url + path)).length).toBe(document.length);

  const { hostname, port } = new URL(entrepot.url);
  const socket = connect(Number(port), hostname);
  closeAfterTest({ close: async () => socket.destroy() });
  // Twice in a row: more than the system takes off our hands when nobody reads.
  socket.write(`GET ${path} HTTP/1.1\r\nHost: ${hostname}:${port}\r\n\r\n`.repeat(2));
  await once(socket, 'readable');
  entrepot.signal('SIGTERM');
  await entrepot.logged('stopping: pulls in flight may end');
  await expect.poll(() => refused(`${entrepot.url}/v2/`)).toBe(true);
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  await once(socket, 'close');
  const [, first, second] = Buffer.concat(chunks)
    .toString()
    .split(/HTTP\/1\.1 200 OK\r\n.+?\r\n\r\n/s);
  expect([first?.length, second?.length]).toEqual([document.length, document.length]);
  expect(await entrepot.ended).toEqual({ code: 0, signal: null });
});

test.each(['SIGTERM', 'a fault'] as const)(
  'every request that was answered has its line in the log, even right before %s',
  async (end) => {
    const registry = closeAfterTest(await FakeRegistry.start());
    const upstreams = { 'docker.io': { url: registry.url, default: true } };
    const fault = join(await tempDir(), 'fault.cjs');
    await writeFile(fault, "process.on('SIGUSR2', () => { throw new Error('a fault of the test'); });");
    const environment = { NODE_OPTIONS: `--require ${fault}` };
    const entrepot = await EntrepotProcess.start({ config: { upstreams }, environment });
    const names = Array.from({ length: 60 }, (_, number) => `library/number-${number}`);
    await Promise.all(names.map((name) => get(`${entrepot.url}/v2/${name}/manifests/latest`)));
    entrepot.signal(end === 'SIGTERM' ? 'SIGTERM' : 'SIGUSR2');
    expect(await entrepot.ended).toEqual({ code: end === 'SIGTERM' ? 0 : 1, signal: null });
    expect(entrepot.requests.map(({ repository }) => String(repository)).sort()).toEqual([...names].sort());
    if (end === 'a fault') expect(entrepot.output).toContain('a fault of the test');
    expect(entrepot.log.at(-1)).toMatchObject({ msg: 'stopped' });
  },
);
