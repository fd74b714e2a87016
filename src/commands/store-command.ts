import type { ActivityOperations } from '../activity/activity-operations.ts';
import type { UpstreamOperations } from '../activity/upstream-standing.ts';
import type { StoreContents } from '../cache/store-contents.ts';
import { BundleError } from '../bundle/bundle-error.ts';
import { StoreOperationError } from '../cache/store-operation-error.ts';
import type { ImageSelection, StoreOperations } from '../cache/store-operations.ts';
import type { Config } from '../config.ts';
import type { ExplainOperations } from '../pull-through/explain-operations.ts';
import type { OfflineOperations } from '../pull-through/offline-operations.ts';
import type { ReloadOperations } from '../reload-operations.ts';
import { OutputError } from '../oci-layout/output-error.ts';
import { StartError } from '../start-error.ts';
import type { WarmOperations } from '../warm/warm-operations.ts';
import type { CommandIo } from './command-io.ts';
import { type ConfigOption, readConfiguration, WRONG_CONFIGURATION } from './configuration.ts';
import { parseImageSelection } from './image-selection.ts';
import { type AccessOptions, accessStore } from './store-opening.ts';
import { UsageError } from './usage-error.ts';

export interface StoreCommandOptions extends ConfigOption {
  readonly json?: boolean;
}

export interface StoreCommandContext {
  readonly config: Config;
  readonly activity: ActivityOperations;
  readonly operations: StoreOperations;
  readonly contents: StoreContents;
  /** Of the server. Absent: none runs. */
  readonly offline?: OfflineOperations | undefined;
  /** Likewise. */
  readonly reload?: ReloadOperations | undefined;
  /** Of the server. Absent: none runs. */
  readonly upstreams?: UpstreamOperations | undefined;
  readonly explain: ExplainOperations;
  /** Begins what pulls, the first time. */
  readonly warming: () => Promise<WarmOperations>;
  readonly io: CommandIo;
  /** Aborted by SIGINT and SIGTERM. */
  readonly signal: AbortSignal;
}

const FAILED = 1;
const WRONG_USAGE = 2;
const KILLED = { SIGINT: 130, SIGTERM: 143 } as const;

/**
 * Runs a command on the store of the configuration, with or without a server, and says in a sentence what was wrong.
 * @param prepare looks at the arguments before anything is opened; what it throws is UsageError
 * @returns the exit code: 0 done, 1 failed, 2 wrong usage or configuration, 130 or 143 after a signal
 */
export async function runOnStore<Prepared>(
  options: ConfigOption,
  io: CommandIo,
  prepare: (config: Config) => Prepared,
  work: (prepared: Prepared, context: StoreCommandContext) => Promise<number>,
  access: AccessOptions = {},
): Promise<number> {
  const config = readConfiguration(options, io, 'nothing was done');
  if (config === undefined) return WRONG_CONFIGURATION;
  const ending = new AbortController();
  let killed: number | undefined;
  const onSignals = (Object.keys(KILLED) as (keyof typeof KILLED)[]).map((name) => {
    const listener = (): void => {
      killed ??= KILLED[name];
      ending.abort();
    };
    io.events.on(name, listener);
    return () => io.events.off(name, listener);
  });
  try {
    const prepared = prepare(config);
    const { close, ...store } = await accessStore(config, io, access);
    try {
      return await work(prepared, { config, ...store, io, signal: ending.signal });
    } finally {
      await close();
    }
  } catch (error) {
    if (killed !== undefined) return killed;
    if (!(
      error instanceof UsageError ||
      error instanceof StoreOperationError ||
      error instanceof StartError ||
      error instanceof OutputError ||
      error instanceof BundleError
    ))
      throw error;
    const { message } = error;
    io.stderr.write(`entrepot: ${message}${message.endsWith('.') ? '' : '.'}\n`);
    const isUsage =
      error instanceof UsageError || (error instanceof StoreOperationError && error.reason === 'invalid');
    return isUsage ? WRONG_USAGE : FAILED;
  } finally {
    for (const off of onSignals) off();
  }
}

/** @throws UsageError */
export function selectionOf(text: string | undefined, { upstreams }: Config): ImageSelection {
  if (text === undefined) return {};
  const selection = parseImageSelection(text, upstreams);
  if ('problem' in selection) throw new UsageError(`${JSON.stringify(text)}: ${selection.problem}`);
  return selection;
}

export function printJson(document: object, io: CommandIo): void {
  io.stdout.write(`${JSON.stringify(document, null, 2)}\n`);
}
