import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { LocalContents } from '../../src/cache/local-contents.ts';
import { LocalOperations } from '../../src/cache/local-operations.ts';
import type { StoreContents } from '../../src/cache/store-contents.ts';
import type { StoreOperations } from '../../src/cache/store-operations.ts';
import { systemClock } from '../../src/clock.ts';
import { RemoteApi } from '../../src/commands/remote-api.ts';
import { RemoteContents } from '../../src/commands/remote-contents.ts';
import { RemoteOperations } from '../../src/commands/remote-operations.ts';
import { createLog } from '../../src/log-output.ts';
import { indexBytes } from '../../src/metadata/database.ts';
import { type Closer, openStore } from '../../src/open-store.ts';
import { closeAfterTest } from '../support/close-after-test.ts';
import { FakeRegistry } from '../support/fake-registry.ts';
import { type RunningApp, startApp } from '../support/running-app.ts';
import { tempDir } from '../support/temp-dir.ts';
import type { OperationsSubject } from './store-operations-contract.ts';

const TOKEN = 'canary-admin-token';

/** A product, its operations and its contents, which may need the product to be away. */
export interface StoreSubject extends OperationsSubject {
  /** For one use at a time: `app` may end them. */
  contents(): Promise<StoreContents>;
}

/** A server that runs, asked over its admin API. */
export async function servedStore(): Promise<StoreSubject> {
  const registry = closeAfterTest(await FakeRegistry.start());
  const upstreams = [{ name: 'docker.io', url: registry.url }];
  const running = await startApp({ upstreams, adminToken: TOKEN });
  const { hostname, port } = new URL(running.adminUrl);
  const listener = { host: hostname, port: Number(port) };
  const api = new RemoteApi({ listener, token: TOKEN });
  return {
    registry,
    dataDir: running.dataDir,
    app: async () => running,
    operations: async () => new RemoteOperations(api),
    contents: async () => new RemoteContents(api),
  };
}

/** Either the product runs, or its directory is open. */
export async function directoryStore(): Promise<StoreSubject> {
  const registry = closeAfterTest(await FakeRegistry.start());
  const dataDir = join(await tempDir(), 'data');
  const upstreams = [{ name: 'docker.io', url: registry.url }];
  let running: RunningApp | undefined;
  let open: OpenDirectory | undefined;
  const close = async () => {
    await running?.close();
    await open?.close();
    running = undefined;
    open = undefined;
  };
  onTestFinished(close);
  const opened = async () => {
    if (open !== undefined) return open;
    await close();
    open = await openDirectory(dataDir);
    return open;
  };
  return {
    registry,
    dataDir,
    app: async () => {
      if (running !== undefined) return running;
      await close();
      running = await startApp({ upstreams, dataDir });
      return running;
    },
    operations: async () => (await opened()).operations,
    contents: async () => (await opened()).contents,
  };
}

interface OpenDirectory {
  readonly operations: StoreOperations;
  readonly contents: StoreContents;
  readonly close: () => Promise<void>;
}

async function openDirectory(dataDir: string): Promise<OpenDirectory> {
  const closers: Closer[] = [];
  const log = createLog({ level: 'error', destination: { write: () => undefined } });
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
  const contents = new LocalContents({ ...store, clock });
  closers.push(() => contents.close());
  return {
    operations,
    contents,
    close: async () => {
      for (const closer of closers.toReversed()) await closer();
    },
  };
}
