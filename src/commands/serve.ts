import { hostname } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { App } from '../app.ts';
import { systemClock } from '../clock.ts';
import type { Config } from '../config.ts';
import { frontStarter } from '../fronts/front-process.ts';
import { type AdjustableLog, errorFacts } from '../log.ts';
import { createMetrics, type Metrics } from '../metrics.ts';
import type { ConfigSourceParts } from '../open-reload.ts';
import { StartError } from '../start-error.ts';
import type { CommandIo, ProcessEvent } from './command-io.ts';
import { openCommandLog } from './command-log.ts';
import { type ConfigOption, loadConfiguration, readNow, WRONG_CONFIGURATION } from './configuration.ts';
import { announcement } from './serve-announcement.ts';

const STOPPED = 0;
const FAILED = 1;
/** 128 + the signal's number, as shells report a process that a signal ended. */
const KILLED = { SIGINT: 130, SIGTERM: 143 } as const;
/** After a fault that nothing caught the process is not to be trusted for long. */
const FAULT_GRACE_MS = 5000;
/** What closing may take on top of the grace that pulls are given. */
const CLOSE_LIMIT_MS = 10_000;

/**
 * Serves until a signal or a fault. SIGTERM or SIGINT: pulls in flight may end within `shutdownGrace`; a second one
 * gives up on them at once.
 * @returns the exit code: 0 stopped, 1 could not start or a fault, 2 configuration, 130 or 143 after a second signal.
 */
export async function serve(options: ConfigOption, io: CommandIo): Promise<number> {
  const loaded = loadConfiguration(options, io, 'nothing was started');
  if (loaded === undefined) return WRONG_CONFIGURATION;
  const { config } = loaded;
  const logOutput = await io.openLogOutput();
  const log = await openCommandLog(io, config.log.level, logOutput);
  const metrics = createMetrics({
    version: io.version,
    nodeVersion: io.nodeVersion,
    upstreams: config.upstreams.map(({ name }) => name),
  });
  // Before the first byte of work: the first process of a container has no default reaction to signals.
  const stops = new Stops(io, { log, metrics });
  try {
    const source = { loaded, read: () => readNow(options, io) };
    return await run(source, { io, log, metrics, stops });
  } catch (error) {
    if (!(error instanceof StartError)) throw error;
    io.stderr.write(`entrepot: ${error.message}\n`);
    return FAILED;
  } finally {
    stops.close();
    logOutput.flushSync();
  }
}

interface Running {
  readonly io: CommandIo;
  readonly log: AdjustableLog;
  readonly metrics: Metrics;
  readonly stops: Stops;
}

async function run(source: ConfigSourceParts, running: Running): Promise<number> {
  const { io, log, metrics, stops } = running;
  const { config } = source.loaded;
  const { version, frontFile, environment } = io;
  const startFront = frontFile === undefined ? undefined : frontStarter(frontFile, environment);
  const opening = App.open(config, { log, metrics, clock: systemClock, version, source, startFront });
  // Before that, too: it would end the process.
  const reload = (): void => void opening.then(async (app) => app.reload()).catch(() => undefined);
  io.events.on('SIGHUP', reload);
  try {
    const opened = await Promise.race([opening, stops.second]);
    if (typeof opened === 'string') return KILLED[opened];
    announce(config, opened, { io, log });
    return await stop(await stops.first, opened, running);
  } finally {
    io.events.off('SIGHUP', reload);
  }
}

async function stop(cause: StopCause, opened: App, { log, stops }: Running): Promise<number> {
  const { shutdownGraceMs } = opened.config;
  const graceMs = cause === 'fault' ? Math.min(FAULT_GRACE_MS, shutdownGraceMs) : shutdownGraceMs;
  log.info({ cause, graceMs }, 'stopping: pulls in flight may end');
  const ended = new AbortController();
  const closing = opened.close({ graceMs }).then(() => 'closed' as const);
  const late = delay(graceMs + CLOSE_LIMIT_MS, 'late' as const, { signal: ended.signal });
  late.catch(() => undefined);
  closing.catch(() => undefined);
  try {
    const end = await Promise.race([closing, late, stops.second]);
    if (end === 'closed') {
      log.info({}, 'stopped');
      return cause === 'fault' ? FAILED : STOPPED;
    }
    opened.abort();
    if (end !== 'late') return KILLED[end];
    log.error({}, 'stopping took too long and was cut short');
    return FAILED;
  } catch (error) {
    log.error({ error: errorFacts(error) }, 'stopping failed');
    opened.abort();
    return FAILED;
  } finally {
    ended.abort();
  }
}

function announce(config: Config, app: App, { io, log }: Pick<Running, 'io' | 'log'>): void {
  const said = announcement(config, app.addresses, { version: io.version, hostname: hostname() });
  if (io.isTerminal) io.stdout.write(`${said.lines.join('\n')}\n`);
  else log.info(said.facts, 'listening');
}

type StopSignal = keyof typeof KILLED;
type StopCause = StopSignal | 'fault';

/** Why to stop, as it comes in: the first signal or fault, and the signal that says not to wait any longer. */
class Stops {
  /** Resolves once, never rejects; so does `second`. */
  readonly first: Promise<StopCause>;
  readonly second: Promise<StopSignal>;
  readonly #io: CommandIo;
  readonly #listeners: readonly (readonly [ProcessEvent, (what: unknown) => void])[];

  constructor(io: CommandIo, { log, metrics }: Pick<Running, 'log' | 'metrics'>) {
    const first = deferred<StopCause>();
    const second = deferred<StopSignal>();
    this.first = first.promise;
    this.second = second.promise;
    let signals = 0;
    const onSignal = (signal: StopSignal) => () => {
      signals += 1;
      if (signals === 1) first.resolve(signal);
      else second.resolve(signal);
    };
    const onFault = (error: unknown) => {
      metrics.unexpectedError();
      log.error({ error: errorFacts(error, { stack: true }) }, 'unexpected error: stopping');
      first.resolve('fault');
    };
    this.#io = io;
    this.#listeners = [
      ['SIGTERM', onSignal('SIGTERM')],
      ['SIGINT', onSignal('SIGINT')],
      ['uncaughtException', onFault],
      ['unhandledRejection', onFault],
    ];
    for (const [event, listener] of this.#listeners) io.events.on(event, listener);
  }

  close(): void {
    for (const [event, listener] of this.#listeners) this.#io.events.off(event, listener);
  }
}

function deferred<Value>(): { readonly promise: Promise<Value>; readonly resolve: (value: Value) => void } {
  const resolvers: ((value: Value) => void)[] = [];
  const promise = new Promise<Value>((resolve) => resolvers.push(resolve));
  return { promise, resolve: (value) => resolvers.forEach((resolve) => resolve(value)) };
}
