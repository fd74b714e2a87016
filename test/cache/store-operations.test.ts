import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { LocalOperations } from '../../src/cache/local-operations.ts';
import type { StoreOperations } from '../../src/cache/store-operations.ts';
import { systemClock } from '../../src/clock.ts';
import { RemoteOperations } from '../../src/commands/remote-operations.ts';
import { createLog } from '../../src/log.ts';
import { indexBytes } from '../../src/metadata/database.ts';
import { type Closer, openStore } from '../../src/open-store.ts';
import { closeAfterTest } from '../support/close-after-test.ts';
import { FakeRegistry } from '../support/fake-registry.ts';
import { type RunningApp, startApp } from '../support/running-app.ts';
import { tempDir } from '../support/temp-dir.ts';
import { type OperationsSubject, storeOperationsContract } from './store-operations-contract.ts';

const TOKEN = 'canary-admin-token';

storeOperationsContract('a server', async () => {
  const registry = closeAfterTest(await FakeRegistry.start());
  const upstreams = [{ name: 'docker.io', url: registry.url }];
  const running = await startApp({ upstreams, adminToken: TOKEN });
  const { hostname, port } = new URL(running.adminUrl);
  const listener = { host: hostname, port: Number(port) };
  return {
    registry,
    dataDir: running.dataDir,
    app: async () => running,
    operations: async () => new RemoteOperations({ listener, token: TOKEN }),
  };
});

/** Either the product runs, or its directory is open. */
storeOperationsContract('the directory itself', async (): Promise<OperationsSubject> => {
  const registry = closeAfterTest(await FakeRegistry.start());
  const dataDir = join(await tempDir(), 'data');
  const upstreams = [{ name: 'docker.io', url: registry.url }];
  let running: RunningApp | undefined;
  let open: { readonly operations: StoreOperations; readonly close: () => Promise<void> } | undefined;
  const close = async () => {
    await running?.close();
    await open?.close();
    running = undefined;
    open = undefined;
  };
  onTestFinished(close);
  return {
    registry,
    dataDir,
    app: async () => {
      if (running !== undefined) return running;
      await close();
      running = await startApp({ upstreams, dataDir });
      return running;
    },
    operations: async () => {
      if (open !== undefined) return open.operations;
      await close();
      open = await openDirectory(dataDir);
      return open.operations;
    },
  };
});

async function openDirectory(
  dataDir: string,
): Promise<{ readonly operations: StoreOperations; readonly close: () => Promise<void> }> {
  const closers: Closer[] = [];
  const log = createLog({ level: 'error', pretty: false, destination: { write: () => undefined } });
  const observer = {
    integrityFailure: () => undefined,
    cacheFailure: () => undefined,
    evicted: () => undefined,
    conditionChanged: () => undefined,
  };
  const cacheConfig = {
    maxSize: { bytes: 2 ** 30 },
    minFreeSpace: { bytes: 0 },
    finishFillBytes: 0,
    fillLingerMs: 0,
    pins: [],
    verifyOnRead: false,
    scrub: { everyMs: undefined, bytesPerSecond: Infinity },
  };
  const clock = systemClock;
  const store = await openStore(
    { dataDir, cache: cacheConfig, upstreams: [] },
    { clock, log, observer, closers },
  );
  const operations = new LocalOperations({
    ...store,
    clock,
    upstreams: [{ name: 'docker.io', default: true, profile: { hubNames: true } }],
    sources: { isServed: false, indexBytes: () => indexBytes(dataDir) },
  });
  closers.push(() => operations.close());
  return {
    operations,
    close: async () => {
      for (const closer of closers.toReversed()) await closer();
    },
  };
}
