import { expect, it, vi } from 'vitest';
import { closeAfterTest } from '../support/close-after-test.ts';
import { FakeRegistry } from '../support/fake-registry.ts';
import { Gate } from '../support/gate.ts';
import { get } from '../support/http-get.ts';
import { startApp } from '../support/running-app.ts';
import { SOON } from '../support/soon.ts';

it('counts and logs a client that left before the answer as 499, once', async () => {
  const registry = closeAfterTest(await FakeRegistry.start());
  const app = await startApp({ upstreams: [{ name: 'docker.io', url: registry.url }] });
  const digest = registry.addBlob('library/app', { size: 1000, seed: 1 });
  const gate = new Gate();
  registry.faults.add({ match: {}, action: { gate } });
  const leaving = new AbortController();
  const asked = get(`${app.url}/v2/library/app/blobs/${digest}`, { signal: leaving.signal });
  await gate.arrived();
  leaving.abort();
  await expect(asked).rejects.toThrow();
  const lines = () => app.logLines.filter(({ bytes }) => bytes !== undefined);
  await vi.waitFor(() => expect(lines()).toHaveLength(1), SOON);
  expect(lines()[0]).toMatchObject({ level: 'info', msg: 'client left', status: 499, bytes: 0 });
  const metrics = (await get(`${app.adminUrl}/metrics`)).body.toString();
  const counted = metrics.split('\n').filter((line) => line.startsWith('entrepot_requests_total{'));
  expect(counted).toHaveLength(1);
  expect(counted[0]).toMatch(/code="499".* 1$/);
  gate.open();
});

it('keeps the status of an answer that the client left in the middle of', async () => {
  const registry = closeAfterTest(await FakeRegistry.start());
  const app = await startApp({ upstreams: [{ name: 'docker.io', url: registry.url }] });
  const digest = registry.addBlob('library/app', { size: 4_000_000, seed: 1 });
  registry.faults.add({ match: { method: 'GET' }, action: { bytesPerSecond: 1_000_000 } });
  await get(`${app.url}/v2/library/app/blobs/${digest}`, { abortAfter: 1000 });
  const lines = () => app.logLines.filter(({ bytes }) => bytes !== undefined);
  await vi.waitFor(() => expect(lines()).toHaveLength(1), SOON);
  expect(lines()[0]).toMatchObject({ msg: 'request', status: 200, incomplete: true });
});

it('names each request on its answer and in its log line, whatever the client calls it', async () => {
  const registry = closeAfterTest(await FakeRegistry.start());
  const app = await startApp({ upstreams: [{ name: 'docker.io', url: registry.url }] });
  const digest = registry.addBlob('library/app', { size: 1000, seed: 1 });
  const headers = { 'X-Request-Id': 'mine' };
  const paths = [`library/app/blobs/${digest}`, 'library/app/blobs/bad'];
  const ids: unknown[] = [];
  for (const path of paths)
    ids.push((await get(`${app.url}/v2/${path}`, { headers })).headers['x-request-id']);
  expect(ids.map((id) => /^[0-9a-f]{16}$/.test(String(id)))).toEqual([true, true]);
  expect(new Set(ids).size).toBe(2);
  const lines = () => app.logLines.filter(({ bytes }) => bytes !== undefined);
  await vi.waitFor(() => expect(lines()).toHaveLength(2), SOON);
  expect(lines().map(({ request }) => request)).toEqual(ids);
});
