import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { digestHex } from '../../src/oci/digest.ts';
import { closeAfterTest } from '../support/close-after-test.ts';
import { FakeRegistry } from '../support/fake-registry.ts';
import { get } from '../support/http-get.ts';
import { buildImage, pushTo } from '../support/images.ts';
import { startApp } from '../support/running-app.ts';

it('a stored manifest with a flipped bit is found out when it is read, and fetched again in the same request', async () => {
  const registry = closeAfterTest(await FakeRegistry.start());
  const image = buildImage();
  pushTo(registry, { repository: 'library/app', tag: 'latest', image });
  const upstreams = [{ name: 'docker.io', url: registry.url }];
  const { digest } = image.root;
  const first = await startApp({ upstreams });
  expect((await get(`${first.url}/v2/library/app/manifests/${digest}`)).headers['x-cache']).toBe('MISS');
  await first.close();

  const hex = digestHex(digest);
  const file = join(first.dataDir, 'content', 'v1', 'sha256', hex.slice(0, 2), hex);
  const bytes = await readFile(file);
  bytes[10] = (bytes[10] ?? 0) ^ 1;
  await writeFile(file, bytes);

  const second = await startApp({ upstreams, dataDir: first.dataDir });
  const healed = await get(`${second.url}/v2/library/app/manifests/${digest}`);
  expect(healed).toMatchObject({ status: 200, digest });
  expect(healed.headers['x-cache']).toBe('MISS');
  // Stored behind the answer.
  await expect.poll(async () => (await readFile(file)).equals(image.root.bytes)).toBe(true);
});
