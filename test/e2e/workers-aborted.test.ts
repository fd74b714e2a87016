import { readdir, readlink } from 'node:fs/promises';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { closeAfterTest } from '../support/close-after-test.ts';
import { EntrepotProcess } from '../support/entrepot-process.ts';
import { FakeRegistry } from '../support/fake-registry.ts';
import { get } from '../support/http-get.ts';

const MIB = 1024 * 1024;

/** Asks, and is gone after so long, without a word. */
async function leave(port: number, target: string, afterMs: number): Promise<void> {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => undefined);
  socket.write(`GET ${target} HTTP/1.1\r\nHost: a\r\n\r\n`);
  await sleep(afterMs);
  socket.resetAndDestroy();
}

async function openBlobs(pid: number): Promise<number> {
  const names = await readdir(`/proc/${pid}/fd`);
  const files = await Promise.all(
    names.map(async (name) => readlink(`/proc/${pid}/fd/${name}`).catch(() => '')),
  );
  return files.filter((file) => file.includes('/content/')).length;
}

test('clients that leave at any moment leave nothing open in the owner of several workers', async () => {
  const registry = closeAfterTest(await FakeRegistry.start());
  const upstreams = { 'docker.io': { url: registry.url, default: true } };
  const config = { upstreams, workers: 2, connectionsPerClient: 100 };
  const entrepot = await EntrepotProcess.start({ config });
  const digest = registry.addBlob('library/app', { size: MIB, seed: 1 });
  const target = `/v2/library/app/blobs/${digest}`;
  await get(`${entrepot.url}${target}`, { digestOnly: true });
  await expect.poll(async () => entrepot.metric('entrepot_fills_in_flight')).toBe(0);
  const before = await openBlobs(entrepot.pid);
  const port = Number(new URL(entrepot.url).port);
  for (let round = 0; round < 20; round += 1)
    await Promise.all(Array.from({ length: 60 }, async (_, at) => leave(port, target, at)));
  await expect.poll(async () => openBlobs(entrepot.pid)).toBe(before);
  const live = async () => {
    const { body } = await get(`${entrepot.adminUrl}/api/v1/activity/live`);
    return (JSON.parse(body.toString()) as { requests: readonly unknown[] }).requests;
  };
  await expect.poll(live).toEqual([]);
  expect(await get(`${entrepot.url}${target}`, { digestOnly: true })).toMatchObject({
    complete: true,
    digest,
  });
});
