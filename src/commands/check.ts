import { statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import pLimit from 'p-limit';
import { sampleImage } from '../client-setup/sample-image.ts';
import { systemClock } from '../clock.ts';
import { type Config, offlineUpstreams, printProblem, type UpstreamConfig } from '../config.ts';
import { parseDuration } from '../config-text.ts';
import { missingSources } from '../image-sources/missing-sources.ts';
import { exampleOf } from '../oci/repository-pattern.ts';
import type { RepositoryName } from '../oci/reference.ts';
import { readPinnedBytes } from '../metadata/database.ts';
import { OciError } from '../oci/error.ts';
import { type ImageReference, parseImageReference } from '../oci/image-reference.ts';
import { inspectCredentials } from '../upstream/credentials/credential-inspection.ts';
import { PROBE_STEPS } from '../upstream/probe-report.ts';
import {
  printAccess,
  printProbes,
  printSettings,
  printStalePolicy,
  printUpstreams,
  type Probed,
  upstreamFacts,
} from './check-report.ts';
import { configWarnings, type DataFacts } from './check-warnings.ts';
import type { CommandIo } from './command-io.ts';
import { type ConfigOption, configurationOf, printProblems, WRONG_CONFIGURATION } from './configuration.ts';
import { RemoteApi } from './remote-api.ts';
import { RemoteOperations } from './remote-operations.ts';
import { UsageError } from './usage-error.ts';

export interface CheckOptions extends ConfigOption {
  /** Ask the upstreams, too. */
  readonly online?: boolean;
  /** Names of upstreams to be asked; absent: all. */
  readonly upstream?: readonly string[];
  /** References whose host is an upstream's name, to be asked for in place of well-known ones. */
  readonly image?: readonly string[];
  /** A duration: how long one upstream may take. */
  readonly timeout?: string;
  readonly json?: boolean;
}

const DONE = 0;
const FOUND_WRONG = 1;
const WRONG_USAGE = 2;
const DEFAULT_TIMEOUT = '20s';
const TIMEOUT_LIMIT_MS = 600_000;
const SERVER_PATIENCE_MS = 2000;
/** Each is one host that is asked five things, one after the other. */
const CONCURRENT_PROBES = 16;

/**
 * Reads the configuration, says what it amounts to, and with `online` asks every upstream. It serves nothing and touches
 * no data, so a server may run on the same configuration.
 * @returns the exit code: 0 all is well, 1 an upstream does not answer as it must or the file of a secret cannot be used, 2 wrong usage or configuration
 */
export async function check(options: CheckOptions, io: CommandIo): Promise<number> {
  const read = configurationOf(options, io);
  if ('problems' in read) {
    io.stderr.write(printProblems(read.problems, 'it cannot be served'));
    if (options.json === true) print({ problems: read.problems.map(printProblem) }, io);
    return WRONG_CONFIGURATION;
  }
  const { config } = read;
  try {
    const plan = options.online === true ? planOf(config, options) : undefined;
    const credentials = await inspectCredentials(
      config.upstreams,
      { clock: systemClock, path: io.environment['PATH'] ?? '' },
      new AbortController().signal,
    );
    const { problems } = credentials;
    const warnings = [
      ...configWarnings(config, await dataFacts(config)),
      ...(await scheduleWarnings(config)),
      ...credentials.warnings,
    ];
    const upstreams = config.upstreams.map(upstreamFacts);
    if (options.json !== true)
      io.stdout.write(
        [
          printSettings(config),
          printUpstreams(upstreams),
          printAccess(upstreams),
          printStalePolicy(upstreams),
        ]
          .filter((table) => table !== '')
          .join('\n'),
      );
    for (const problem of problems) io.stderr.write(`problem: ${problem}\n`);
    for (const warning of warnings) io.stderr.write(`warning: ${warning}\n`);
    const probes = plan && (await probeAll(plan, io));
    if (options.json === true)
      print({ upstreams, problems, warnings, ...(probes && { online: probes }) }, io);
    else if (probes !== undefined) io.stdout.write(`\n${printProbes(probes)}`);
    return problems.length > 0 || probes?.some(isWrong) === true ? FOUND_WRONG : DONE;
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    io.stderr.write(`entrepot: ${error.message}\n`);
    return WRONG_USAGE;
  }
}

interface Plan {
  readonly upstreams: readonly UpstreamConfig[];
  readonly images: ReadonlyMap<string, ImageReference>;
  readonly limitMs: number;
}

function planOf(
  config: Config,
  { upstream: names, image = [], timeout = DEFAULT_TIMEOUT }: CheckOptions,
): Plan {
  const offline = offlineUpstreams(config);
  if (offline.length === config.upstreams.length)
    throw new UsageError('offline is true: no upstream may be asked.');
  const limitMs = parseDuration(timeout);
  if (limitMs === undefined || limitMs === 0 || limitMs > TIMEOUT_LIMIT_MS)
    throw new UsageError(`--timeout ${timeout}: accepted is a duration such as 20s, 10m at most.`);
  const known = config.upstreams.map(({ name }) => name);
  const unknown = names?.find((name) => !known.includes(name));
  if (unknown !== undefined)
    throw new UsageError(`--upstream ${unknown}: not configured; there are ${known.join(', ')}.`);
  const forbidden = names?.find((name) => offline.includes(name));
  if (forbidden !== undefined)
    throw new UsageError(`--upstream ${forbidden}: it is offline by configuration, and may not be asked.`);
  const upstreams = config.upstreams.filter(({ name }) => names?.includes(name) ?? !offline.includes(name));
  const images = new Map<string, ImageReference>();
  for (const { name } of upstreams) {
    const sample = sampleImage(name);
    if (sample !== undefined) images.set(name, imageOf(`${name}/${sample}`, config));
  }
  for (const text of image) {
    const asked = imageOf(text, config);
    images.set(asked.upstream, asked);
  }
  return { upstreams, images, limitMs };
}

function imageOf(text: string, { upstreams }: Config): ImageReference {
  try {
    const image = parseImageReference(text, upstreams);
    if ('problem' in image) throw new UsageError(`--image ${text}: ${image.problem}.`);
    return image;
  } catch (error) {
    if (error instanceof OciError) throw new UsageError(`--image ${text}: ${error.message}.`);
    throw error;
  }
}

async function probeAll({ upstreams, images, limitMs }: Plan, io: CommandIo): Promise<readonly Probed[]> {
  // With all that asks registries: most checks are offline.
  const { probeAccount, probeUpstream } = await import('../upstream/upstream-probe.ts');
  const limit = pLimit(CONCURRENT_PROBES);
  const { signal } = new AbortController();
  return Promise.all(
    upstreams.flatMap(placesOf).map(({ place, keyPath, config, repository }) =>
      limit(async () => {
        const common = { config, keyPath, clock: systemClock, version: io.version, limitMs };
        const steps =
          repository === undefined
            ? await probeUpstream({ ...common, image: images.get(config.name) }, signal)
            : await probeAccount({ ...common, repository }, signal);
        return { upstream: place, steps };
      }),
    ),
  );
}

interface Place {
  /** For people. */
  readonly place: string;
  readonly keyPath: string;
  readonly config: UpstreamConfig;
  /** One that an account of its own asks about: that account is tried, and nothing else. */
  readonly repository?: RepositoryName | undefined;
}

/** The upstream itself, each account of some of its repositories, and each of its mirrors as if it were an upstream. */
function placesOf(upstream: UpstreamConfig): readonly Place[] {
  const { mirrors = [], ...own } = upstream;
  const keyPath = `upstreams.${upstream.name}`;
  const { auth: _auth, tls: _tls, limits: _limits, repositories: _repositories, ...common } = own;
  return [
    { place: upstream.name, keyPath, config: own },
    ...(own.repositories ?? []).flatMap(({ pattern, auth }) => {
      const repository = auth === undefined ? undefined : exampleOf(pattern);
      if (repository === undefined) return [];
      return [{ place: `${upstream.name} ${pattern.text}`, keyPath, config: own, repository }];
    }),
    ...mirrors.map((mirror, at) => ({
      place: `${upstream.name} mirror ${new URL(mirror.url).host}`,
      keyPath: `${keyPath}.mirrors.${at}`,
      config: { ...common, ...mirror },
    })),
  ];
}

function isWrong({ steps }: Probed): boolean {
  return PROBE_STEPS.some((step) => steps[step]?.outcome === 'failed');
}

/** Files may come later: they are read at each run. */
async function scheduleWarnings({ warm = [] }: Config): Promise<readonly string[]> {
  const missing = await Promise.all(warm.map(async ({ from }) => missingSources(from)));
  return missing.flatMap((problems, at) =>
    problems.map(
      ({ place, message }) => `warm.${at}.from: ${place}: ${message}; until it is there, runs fail`,
    ),
  );
}

async function dataFacts(config: Config): Promise<DataFacts> {
  const pinnedBytes = readPinnedBytes(config.dataDir) ?? (await pinnedByServer(config));
  return { diskBytes: await diskBytes(config.dataDir), pinnedBytes };
}

/** What the server says that may run on this configuration; `undefined` without one. */
async function pinnedByServer({ admin: { listen, token } }: Config): Promise<number | undefined> {
  if (listen.port === 0) return undefined;
  try {
    const operations = new RemoteOperations(new RemoteApi({ listener: listen, token }));
    return (await operations.status(AbortSignal.timeout(SERVER_PATIENCE_MS))).pinned.bytes;
  } catch {
    return undefined;
  }
}

/** Size of the file system that holds the data directory, or would; `undefined` when it does not tell. */
async function diskBytes(directory: string): Promise<number | undefined> {
  try {
    const { blocks, bsize } = await statfs(directory);
    return blocks * bsize;
  } catch {
    const parent = dirname(directory);
    return parent === directory ? undefined : diskBytes(parent);
  }
}

function print(document: object, io: CommandIo): void {
  io.stdout.write(`${JSON.stringify(document, null, 2)}\n`);
}
