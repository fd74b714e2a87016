import { StoreOperationError } from '../cache/store-operation-error.ts';
import type { Config } from '../config.ts';
import { parseDuration } from '../config-text.ts';
import type { OfflineReport } from '../pull-through/offline-report.ts';
import { OFFLINE_LIMIT_MS, type OfflineOrder } from '../upstream/offline-switch.ts';
import type { CommandIo } from './command-io.ts';
import { printJson, runOnStore, type StoreCommandOptions } from './store-command.ts';
import { textTable } from './text-table.ts';
import { UsageError } from './usage-error.ts';

export interface OfflineOptions extends StoreCommandOptions {
  /** A duration. */
  readonly for?: string;
  readonly upstream?: readonly string[];
}

const LEAST_MS = 1000;

/** Has a running server ask no upstream, or ask them again; says how it is without an order. @returns the exit code */
export async function offline(
  state: string | undefined,
  options: OfflineOptions,
  io: CommandIo,
): Promise<number> {
  return runOnStore(
    options,
    io,
    (config) => orderOf(state, options, config),
    async (order, { config, offline: server, signal }) => {
      if (server === undefined) {
        const message = `no server uses ${config.dataDir}, and offline mode is of one that runs; the configuration (offline) says how the next one begins`;
        throw new StoreOperationError('not-found', message);
      }
      const report = await (order === undefined ? server.offline(signal) : server.setOffline(order, signal));
      if (options.json === true) printJson(report, io);
      else io.stdout.write(print(report));
      return 0;
    },
  );
}

/** @throws UsageError */
function orderOf(
  state: string | undefined,
  { for: duration, upstream: names }: OfflineOptions,
  { upstreams }: Config,
): OfflineOrder | undefined {
  if (state !== undefined && state !== 'on' && state !== 'off')
    throw new UsageError(`${JSON.stringify(state)}: accepted is on or off; without either it says how it is`);
  const unknown = names?.find((name) => upstreams.every((upstream) => upstream.name !== name));
  if (unknown !== undefined) {
    const known = upstreams.map(({ name }) => name).join(', ');
    throw new UsageError(`--upstream ${unknown}: not configured; there are ${known}`);
  }
  const forMs = duration === undefined ? undefined : parseDuration(duration);
  if (duration !== undefined && !(forMs !== undefined && forMs >= LEAST_MS && forMs <= OFFLINE_LIMIT_MS))
    throw new UsageError(`--for ${duration}: accepted is a duration from 1s to 7d, such as 10m`);
  if (state === undefined && duration === undefined) {
    if (names !== undefined) throw new UsageError('--upstream: say on or off before it');
    return undefined;
  }
  return {
    isOffline: state !== 'off',
    ...(names !== undefined && { upstreams: names }),
    ...(forMs !== undefined && { forMs }),
  };
}

function print({ upstreams }: OfflineReport): string {
  const rows = upstreams.map(({ upstream, isOffline, isConfigured, until }) => {
    const isByCommand = isOffline !== isConfigured;
    const end = until === undefined ? 'the server ends' : new Date(until).toISOString();
    return [
      upstream,
      isOffline ? 'offline' : 'online',
      isByCommand ? 'command' : 'configuration',
      isByCommand ? end : '-',
    ];
  });
  return textTable(['upstream', 'is', 'by', 'until'], rows);
}
