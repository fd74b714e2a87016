import {
  type Config,
  ConfigError,
  type ConfigProblem,
  type LoadedConfig,
  printProblem,
  readConfig,
} from '../config.ts';
import type { CommandIo } from './command-io.ts';

/** The exit code of a command that cannot use its configuration. */
export const WRONG_CONFIGURATION = 2;

/** What every command that reads the configuration takes. */
export interface ConfigOption {
  /** Path of the configuration file; absent: the built-in defaults. */
  readonly config?: string | undefined;
}

/** Every problem there is goes to standard error, with `consequence`; then there is no configuration. */
export function readConfiguration(
  options: ConfigOption,
  io: CommandIo,
  consequence: string,
): Config | undefined {
  return loadConfiguration(options, io, consequence)?.config;
}

/** As `readConfiguration`, with what it was made of. */
export function loadConfiguration(
  options: ConfigOption,
  io: CommandIo,
  consequence: string,
): LoadedConfig | undefined {
  const result = loadedOf(options, io);
  if ('loaded' in result) return result.loaded;
  io.stderr.write(printProblems(result.problems, consequence));
  return undefined;
}

/** The configuration, or all that is wrong with it. */
export function configurationOf(
  options: ConfigOption,
  io: CommandIo,
): { readonly config: Config } | { readonly problems: readonly ConfigProblem[] } {
  const result = loadedOf(options, io);
  return 'loaded' in result ? { config: result.loaded.config } : result;
}

/** Reads it, now. @throws ConfigError */
export function readNow({ config: file }: ConfigOption, io: CommandIo): LoadedConfig {
  return readConfig({ file, environment: io.environment, workingDir: io.workingDir });
}

function loadedOf(
  options: ConfigOption,
  io: CommandIo,
): { readonly loaded: LoadedConfig } | { readonly problems: readonly ConfigProblem[] } {
  try {
    return { loaded: readNow(options, io) };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return { problems: error.problems };
  }
}

export function printProblems(problems: readonly ConfigProblem[], consequence: string): string {
  const count = problems.length === 1 ? 'a problem' : `${problems.length} problems`;
  const list = problems.map((problem) => `  ${printProblem(problem)}\n`).join('');
  return `entrepot: the configuration has ${count}; ${consequence}.\n${list}`;
}
