import { type Config, ConfigError, type ConfigProblem, loadConfig, printProblem } from '../config.ts';
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
  { config: file }: ConfigOption,
  io: CommandIo,
  consequence: string,
): Config | undefined {
  const result = configurationOf({ config: file }, io);
  if ('config' in result) return result.config;
  io.stderr.write(printProblems(result.problems, consequence));
  return undefined;
}

/** The configuration, or all that is wrong with it. */
export function configurationOf(
  { config: file }: ConfigOption,
  io: CommandIo,
): { readonly config: Config } | { readonly problems: readonly ConfigProblem[] } {
  try {
    return { config: loadConfig({ file, environment: io.environment, workingDir: io.workingDir }) };
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
