import { expect, test, vi } from 'vitest';
import { RemoteApi } from '../../src/commands/remote-api.ts';
import { RemoteContents } from '../../src/commands/remote-contents.ts';
import { RemoteOperations } from '../../src/commands/remote-operations.ts';
import { closeAfterTest } from '../support/close-after-test.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { FakeRegistry } from '../support/fake-registry.ts';
import { buildImage, pushTo } from '../support/images.ts';
import { startApp } from '../support/running-app.ts';
import { SOON } from '../support/soon.ts';
import { storeContentsContract } from './store-contents-contract.ts';
import { all, pullImage } from './store-operations-contract.ts';
import { directoryStore, servedStore } from './store-subjects.ts';

storeContentsContract('a server', servedStore);
storeContentsContract('the directory itself', directoryStore);

test('content that is only looked at counts as used no more than before, else it does', async () => {
  const image = buildImage();
  const registry = closeAfterTest(await FakeRegistry.start());
  pushTo(registry, { repository: 'library/app', tag: 'v1', image });
  const clock = new FakeClock();
  const app = await startApp({ upstreams: [{ name: 'docker.io', url: registry.url }], clock });
  await pullImage(app, 'library/app', 'v1', image);
  const { hostname, port } = new URL(app.adminUrl);
  const api = new RemoteApi({ listener: { host: hostname, port: Number(port) }, token: undefined });
  const [contents, operations] = [new RemoteContents(api), new RemoteOperations(api)];
  const never = new AbortController().signal;
  await vi.waitFor(
    async () => expect(await operations.status(never)).toMatchObject({ blobs: 1 + image.blobs.length }),
    SOON,
  );
  const read = async (options?: { readonly isUse: boolean }): Promise<number | undefined> => {
    // Uses that follow each other closely are one; and they are gathered for some seconds.
    await clock.advance(1_800_000);
    const found = await contents.read(image.root.digest, never, options);
    for await (const chunk of found?.body ?? []) expect(chunk.length).toBeGreaterThan(0);
    await clock.advance(10_000);
    const [entry] = await all(operations.images({}, never));
    return entry?.usedAt;
  };
  const before = await read({ isUse: false });
  expect(await read({ isUse: false })).toBe(before);
  expect(await read()).toBeGreaterThan(before ?? Infinity);
});
