import { expect, it } from 'vitest';
import { closeAfterTest } from '../support/close-after-test.ts';
import { FakeRegistry } from '../support/fake-registry.ts';
import { get } from '../support/http-get.ts';
import { startApp } from '../support/running-app.ts';

it.each([true, false])('answers 416 as the specifications say (stored: %s)', async (isStored) => {
  const registry = closeAfterTest(await FakeRegistry.start());
  const app = await startApp({ upstreams: [{ name: 'docker.io', url: registry.url }] });
  const digest = registry.addBlob('library/app', { size: 100, seed: 1 });
  const url = `${app.url}/v2/library/app/blobs/${digest}`;
  if (isStored) await get(url);
  const answer = await get(url, { headers: { range: 'bytes=500-' } });
  expect(answer.status).toBe(416);
  expect(answer.headers['content-range']).toBe('bytes */100');
  expect(answer.headers['content-type']).toBe('application/json');
  expect(answer.headers.etag).toBeUndefined();
  expect(JSON.parse(answer.body.toString())).toMatchObject({ errors: [{ code: 'RANGE_INVALID' }] });
});

it('names the registry that was asked on answers and on refusals alike', async () => {
  const registry = closeAfterTest(await FakeRegistry.start());
  const app = await startApp({ upstreams: [{ name: 'docker.io', url: registry.url }] });
  const digest = registry.addBlob('library/app', { size: 100, seed: 1 });
  const ask = async (path: string, range = 'bytes=0-') =>
    get(`${app.url}/v2/library/app/${path}?ns=docker.io`, { headers: { range } });
  const answers = await Promise.all([
    ask(`blobs/${digest}`),
    ask(`blobs/${digest}`, 'bytes=100-'),
    ask('manifests/nothing'),
    ask(`blobs/sha256:${'0'.repeat(64)}`),
  ]);
  expect(answers.map(({ status }) => status)).toEqual([206, 416, 404, 404]);
  for (const { headers } of answers) {
    expect(headers['oci-namespace']).toBe('docker.io');
    expect(headers['docker-distribution-api-version']).toBe('registry/2.0');
  }
});
