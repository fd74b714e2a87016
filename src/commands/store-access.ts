import { stat } from 'node:fs/promises';
import { Activity } from '../activity/activity.ts';
import type { ActivityOperations } from '../activity/activity-operations.ts';
import { StoredActivity } from '../activity/stored-activity.ts';
import { storedFacts } from '../activity/stored-facts.ts';
import type { UpstreamOperations } from '../activity/upstream-standing.ts';
import { LocalContents } from '../cache/local-contents.ts';
import { LocalOperations } from '../cache/local-operations.ts';
import type { StoreContents } from '../cache/store-contents.ts';
import { StoreOperationError } from '../cache/store-operation-error.ts';
import type { StoreOperations } from '../cache/store-operations.ts';
import { systemClock } from '../clock.ts';
import { type Config, offlineUpstreams } from '../config.ts';
import { readImportKey } from '../import-key.ts';
import { createLog } from '../log.ts';
import { indexBytes } from '../metadata/database.ts';
import { MetadataError } from '../metadata/metadata-error.ts';
import { hasUsage } from '../metadata/usage-database.ts';
import { type Closer, openStore } from '../open-store.ts';
import { openUsage } from '../open-usage.ts';
import type { ExplainOperations } from '../pull-through/explain-operations.ts';
import { LocalExplain } from '../pull-through/local-explain.ts';
import type { OfflineOperations } from '../pull-through/offline-operations.ts';
import type { ReloadOperations } from '../reload-operations.ts';
import { StartError } from '../start-error.ts';
import type { WarmOperations } from '../warm/warm-operations.ts';
import type { CommandIo } from './command-io.ts';
import { openWarming } from './open-warming.ts';
import { RemoteActivity } from './remote-activity.ts';
import { RemoteApi } from './remote-api.ts';
import { RemoteContents } from './remote-contents.ts';
import { RemoteExplain } from './remote-explain.ts';
import { RemoteOffline } from './remote-offline.ts';
import { RemoteOperations } from './remote-operations.ts';
import { RemoteReload } from './remote-reload.ts';
import { RemoteUpstreams } from './remote-upstreams.ts';
import { RemoteWarming } from './remote-warming.ts';

export interface StoreAccess {
  readonly activity: ActivityOperations;
  readonly operations: StoreOperations;
  readonly contents: StoreContents;
  /** Of the server. Absent: none runs. */
  readonly offline?: OfflineOperations | undefined;
  /** Of the server. Absent: none runs. */
  readonly upstreams?: UpstreamOperations | undefined;
  readonly explain: ExplainOperations;
  /** Likewise. */
  readonly reload?: ReloadOperations | undefined;
  /** Begins what pulls, the first time. */
  readonly warming: () => Promise<WarmOperations>;
  readonly close: () => Promise<void>;
}

export interface AccessOptions {
  /** Where there is no data directory, one is made: only a command that brings something in does that. */
  readonly mayBegin?: boolean;
}

/**
 * The store of the configuration's data directory: through the server that holds it, or else the directory itself, under
 * the same lock.
 * @throws StoreOperationError, StartError
 */
export async function accessStore(
  config: Config,
  io: CommandIo,
  { mayBegin = false }: AccessOptions = {},
): Promise<StoreAccess> {
  if (!mayBegin) await assertThere(config.dataDir);
  try {
    return await openHere(config, io);
  } catch (error) {
    if (!isInUse(error)) throw error;
  }
  const { listen, token } = config.admin;
  if (listen.port === 0) {
    throw new StoreOperationError(
      'unreachable',
      `a server uses ${config.dataDir}, and cannot be asked: admin.listen has port 0, which is any`,
    );
  }
  const api = new RemoteApi({ listener: listen, token, importKey: readImportKey(config.dataDir) });
  return {
    activity: new RemoteActivity(api),
    operations: new RemoteOperations(api),
    contents: new RemoteContents(api),
    offline: new RemoteOffline(api),
    reload: new RemoteReload(api),
    upstreams: new RemoteUpstreams(api),
    explain: new RemoteExplain(api),
    warming: () => Promise.resolve(new RemoteWarming(api)),
    close: async () => undefined,
  };
}

/** A command that only looks must not begin a cache where there is none. */
async function assertThere(dataDir: string): Promise<void> {
  try {
    await stat(dataDir);
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? cause.code : undefined;
    if (code !== 'ENOENT')
      throw new StoreOperationError(
        'failed',
        `the data directory ${dataDir} cannot be read (${String(code)})`,
      );
    throw new StoreOperationError(
      'not-found',
      `there is no data directory ${dataDir}: nothing was cached there yet, or dataDir is another one`,
    );
  }
}

async function openHere(config: Config, io: CommandIo): Promise<StoreAccess> {
  const closers: Closer[] = [];
  const close = async () => {
    for (const closer of closers.toReversed()) await closer();
  };
  // Standard output is for results.
  const log = createLog({ level: 'warn', pretty: io.isTerminal, destination: io.stderr });
  const observer = {
    integrityFailure: () => undefined,
    cacheFailure: (where: string, cause: unknown) =>
      log.warn({ where, cause: cause instanceof Error ? cause.message : 'unknown' }, 'the store failed'),
    evicted: () => undefined,
    conditionChanged: () => undefined,
  };
  try {
    const clock = systemClock;
    const { slabs, ...store } = await openStore(config, { clock, log, observer, closers });
    const sources = { isServed: false, indexBytes: () => indexBytes(config.dataDir) };
    const { upstreams } = config;
    const operations = new LocalOperations({ ...store, clock, upstreams, sources });
    closers.push(() => operations.close());
    const contents = new LocalContents({ ...store, slabs, clock });
    closers.push(() => contents.close());
    const never = offlineUpstreams(config);
    const explain = new LocalExplain({
      metadata: store.metadata,
      contents,
      clock,
      upstreams: () => upstreams,
      isOffline: (upstream) => never.includes(upstream),
    });
    // What warming brings in counts in reports.
    const counted = new Activity(clock);
    const usage = await openUsage(config, { clock, log, take: () => counted.takeSums(), closers });
    const activity = new StoredActivity({
      clock,
      usage: hasUsage(config.dataDir) ? usage : undefined,
      stored: (options, signal) => storedFacts(store.metadata, options, signal),
    });
    let opened: Promise<WarmOperations> | undefined;
    const warming = () =>
      (opened ??= openWarming(config, {
        store: { ...store, slabs },
        activity: counted,
        clock,
        io,
        closers,
      }));
    return { activity, operations, contents, explain, warming, close };
  } catch (error) {
    await close();
    throw error;
  }
}

function isInUse(error: unknown): boolean {
  return (
    error instanceof StartError && error.cause instanceof MetadataError && error.cause.reason === 'in-use'
  );
}
