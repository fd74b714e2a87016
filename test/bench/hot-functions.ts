import { createHash, randomFillSync } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Activity } from '../../src/activity/activity.ts';
import { systemClock } from '../../src/clock.ts';
import { loadConfig } from '../../src/config.ts';
import { createLog } from '../../src/log-output.ts';
import { createMetrics } from '../../src/metrics.ts';
import { pullThroughObserver, upstreamObserver } from '../../src/observers.ts';
import { acceptedManifestTypes } from '../../src/oci/media-type.ts';
import { parseTarget } from '../../src/oci/path.ts';
import { parseTag } from '../../src/oci/reference.ts';
import { openPullThrough } from '../../src/open-pull-through.ts';
import { type Closer, openStore } from '../../src/open-store.ts';
import { repositoryOf } from '../../src/pull-through/upstream-routes.ts';
import { FakeRegistry } from '../support/fake-registry.ts';
import { buildImage, pushTo } from '../support/images.ts';

export interface HotFunction {
  readonly name: string;
  /** How many calls `run` makes. */
  readonly calls: number;
  readonly run: () => void | Promise<void>;
}

const UPSTREAM = 'registry.example';
const REPOSITORY = 'library/app';
const MIB = 1024 * 1024;
const CALLS = 1000;
/** What containerd sends. */
const ACCEPT =
  'application/vnd.docker.distribution.manifest.v2+json, application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, */*';

/** What a warm request passes, over a store with one image in it. @param dir an existing, empty directory of its own */
export async function openHotFunctions(
  dir: string,
): Promise<{ readonly functions: readonly HotFunction[]; readonly close: () => Promise<void> }> {
  const closers: Closer[] = [];
  const close = async (): Promise<void> => {
    for (const closer of closers.splice(0).toReversed()) await closer();
  };
  try {
    return { functions: await opened(dir, closers), close };
  } catch (error) {
    await close();
    throw error;
  }
}

async function opened(dir: string, closers: Closer[]): Promise<readonly HotFunction[]> {
  const registry = await FakeRegistry.start();
  closers.push(async () => registry.close());
  const image = buildImage();
  pushTo(registry.content, { repository: REPOSITORY, tag: 'latest', image });
  const { digest } = image.root;
  const file = join(dir, 'config.yaml');
  await writeFile(file, JSON.stringify({ upstreams: { [UPSTREAM]: { url: registry.url, default: true } } }));
  const config = loadConfig({ file, environment: {}, workingDir: dir });
  const log = createLog({ level: 'info', destination: { write: () => undefined } });
  const metrics = createMetrics({ version: '0', nodeVersion: '0', upstreams: [UPSTREAM] });
  const activity = new Activity(systemClock);
  const observer = pullThroughObserver({ log, metrics, clock: systemClock });
  const store = await openStore(config, { clock: systemClock, log, observer, closers });
  await store.cache.begin();
  const { pullThrough, upstreams } = openPullThrough(config, {
    store,
    clock: systemClock,
    observer,
    upstreamObserver: (name) => upstreamObserver(name, { log, metrics, activity, clock: systemClock }),
    onWarmFault: () => undefined,
    version: '0',
    closers,
  });
  const never = new AbortController().signal;
  const path = `/v2/${REPOSITORY}/manifests/${digest}`;
  const target = parseTarget(path);
  if (target === undefined) throw new Error('the target is none');
  const key = repositoryOf(upstreams.routes.find(target, { host: undefined }));
  const tag = { tag: parseTag('latest') };
  const accepted = acceptedManifestTypes([ACCEPT]);
  await pullThrough.manifest(key, tag, accepted, never);
  await pullThrough.manifest(key, { digest }, accepted, never);

  const hints = { host: 'cache.example.com:5000' };
  const finished = {
    upstream: UPSTREAM,
    kind: 'manifest',
    outcome: 'hit',
    code: 200,
    isPull: true,
    bytes: 1234,
    durationMs: 0.4,
    timeToFirstByteMs: 0.3,
  } as const;
  const facts = { request: 'abcdef', method: 'GET', ...finished, repository: REPOSITORY, client: '10.0.0.1' };
  const { metadata } = store;
  const mebibyte = randomFillSync(Buffer.alloc(MIB));
  const copy = Buffer.alloc(MIB);
  return [
    sync('parse a target', () => parseTarget(path)),
    sync('find its route and repository', () => repositoryOf(upstreams.routes.find(target, hints))),
    sync('read an Accept header', () => acceptedManifestTypes([ACCEPT])),
    waited('look a holding up', async () => metadata.holding(key, digest)),
    waited('look a tag up', async () => metadata.tag({ ...key, ...tag, accept: '' })),
    waited('a warm manifest by digest', async () => pullThrough.manifest(key, { digest }, accepted, never)),
    waited('a warm manifest by tag', async () => pullThrough.manifest(key, tag, accepted, never)),
    sync('count a request', () => metrics.requestFinished(finished)),
    sync('write its log line', () => log.info(facts, 'request')),
    { name: 'SHA-256 of 1 MiB', calls: 1, run: () => void createHash('sha256').update(mebibyte).digest() },
    { name: 'copy 1 MiB', calls: 1, run: () => void mebibyte.copy(copy) },
  ];
}

const kept: { last?: unknown } = {};

function sync(name: string, call: () => unknown): HotFunction {
  const run = (): void => {
    // What nobody keeps might never be made.
    for (let count = 0; count < CALLS; count += 1) kept.last = call();
  };
  return { name, calls: CALLS, run };
}

function waited(name: string, call: () => Promise<unknown>): HotFunction {
  const run = async (): Promise<void> => {
    for (let count = 0; count < CALLS; count += 1) kept.last = await call();
  };
  return { name, calls: CALLS, run };
}
