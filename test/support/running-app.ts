import type { LookupFunction } from 'node:net';
import { join } from 'node:path';
import { expect, onTestFinished } from 'vitest';
import { App } from '../../src/app.ts';
// The server loads it when it is first asked for, which here, where files are compiled first, may take seconds.
import '../../src/http/probes.ts';
import '../../src/open-admin-site.ts';
import { type Clock, systemClock } from '../../src/clock.ts';
import { profileFor } from '../../src/config-profile.ts';
import type { CacheConfig, Config, ListenerConfig, UpstreamConfig, WarmSchedule } from '../../src/config.ts';
import { createLog } from '../../src/log-output.ts';
import { createMetrics } from '../../src/metrics.ts';
import type { ConfigSourceParts } from '../../src/open-reload.ts';
import { tempDir } from './temp-dir.ts';

export interface RunningAppOptions {
  /** Each with at least a name and a URL; the first is the default upstream unless one says so. */
  readonly upstreams: readonly (Partial<UpstreamConfig> & Pick<UpstreamConfig, 'name' | 'url'>)[];
  readonly cache?: Partial<CacheConfig>;
  readonly clock?: Clock;
  readonly dataDir?: string;
  readonly offline?: boolean;
  readonly publicUrl?: string;
  readonly adminToken?: string;
  /** In place of `dns.lookup` for upstreams. */
  readonly lookup?: LookupFunction;
  /** Default: one on a free port, without TLS. */
  readonly listeners?: readonly ListenerConfig[];
  readonly connectionsPerClient?: number;
  readonly warm?: readonly WarmSchedule[];
  readonly tracing?: Config['tracing'];
  readonly accessLog?: Config['log']['access'];
  /** Default: usage is not kept. */
  readonly keepUsageMs?: number;
}

export interface LogLine {
  readonly level: string;
  readonly msg: string;
  readonly [fact: string]: unknown;
}

/** The whole product in this process, on free ports. */
export interface RunningApp {
  readonly app: App;
  /** Of the registry's first listener, without a slash at the end. */
  readonly url: string;
  /** Of all listeners of the registry. */
  readonly urls: readonly string[];
  readonly adminUrl: string;
  readonly dataDir: string;
  readonly logLines: readonly LogLine[];
  close(): Promise<void>;
}

const MIB = 1024 * 1024;

/** Started now, closed when the running test has finished. */
export async function startApp(options: RunningAppOptions): Promise<RunningApp> {
  const dataDir = options.dataDir ?? join(await tempDir(), 'data');
  return startConfigured(configOf(options, dataDir), options);
}

/** As `startApp`, with a configuration, and where it is read again. */
export async function startConfigured(
  config: Config,
  options: Pick<RunningAppOptions, 'clock' | 'lookup'> & { readonly source?: ConfigSourceParts },
): Promise<RunningApp> {
  const { dataDir } = config;
  const lines: LogLine[] = [];
  const log = createLog({
    level: 'debug',
    destination: { write: (line) => void lines.push(JSON.parse(line) as LogLine) },
  });
  const metrics = createMetrics({
    version: '0.0.0',
    nodeVersion: process.version,
    upstreams: config.upstreams.map(({ name }) => name),
  });
  const { clock = systemClock, lookup, source } = options;
  const app = await App.open(config, { log, metrics, clock, version: '0.0.0', lookup, source });
  let closing: Promise<void> | undefined;
  const close = () => (closing ??= app.close({ graceMs: 0 }));
  // Secrets of tests are called canaries: no log line and no metric may hold one, whatever the test is about.
  onTestFinished(async () => {
    const { text } = await metrics.render();
    const told = [...lines.map((line) => JSON.stringify(line)), ...text.split('\n')];
    expect(told.filter((line) => line.includes('canary'))).toEqual([]);
  });
  onTestFinished(close);
  const { registry, admin } = app.addresses;
  const urls = registry.map(({ port }, at) => {
    const isTls = config.listeners[at]?.tls !== undefined;
    return `${isTls ? 'https' : 'http'}://127.0.0.1:${port}`;
  });
  return {
    app,
    url: urls[0] ?? '',
    urls,
    adminUrl: `http://127.0.0.1:${admin.port}`,
    dataDir,
    logLines: lines,
    close,
  };
}

function configOf(options: RunningAppOptions, dataDir: string): Config {
  return {
    listeners: options.listeners ?? [{ host: '127.0.0.1', port: 0 }],
    connectionsPerClient: options.connectionsPerClient ?? 512,
    publicUrl: options.publicUrl,
    admin: { listen: { host: '127.0.0.1', port: 0 }, token: options.adminToken },
    dataDir,
    cache: {
      maxSize: { bytes: 1024 * MIB },
      minFreeSpace: { bytes: 0 },
      finishFillBytes: MIB,
      fillLingerMs: 50,
      verifyOnRead: false,
      scrub: { everyMs: undefined, bytesPerSecond: MIB },
      pins: [],
      ...options.cache,
    },
    offline: options.offline ?? false,
    warm: options.warm,
    shutdownGraceMs: 1000,
    usage: { keepMs: options.keepUsageMs },
    tracing: options.tracing,
    log: { level: 'debug', access: options.accessLog ?? 'all' },
    upstreams: options.upstreams.map((upstream, at) => ({
      default: at === 0,
      prefixes: [upstream.name],
      hosts: [],
      trustedHosts: [],
      profile: profileFor(upstream),
      tagTtlMs: 60_000,
      maxStaleMs: 30 * 24 * 3_600_000,
      ...upstream,
    })),
  };
}
