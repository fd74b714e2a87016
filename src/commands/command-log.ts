import type { AdjustableLog, LogDestination, LogLevel } from '../log.ts';
import type { CommandIo } from './command-io.ts';

/** The log of a command that has need of one: few have, and each of the libraries costs every start. */
export async function openCommandLog(
  { isTerminal }: Pick<CommandIo, 'isTerminal'>,
  level: LogLevel,
  destination: LogDestination,
): Promise<AdjustableLog> {
  const [{ createLog }, format] = await Promise.all([
    import('../log-output.ts'),
    isTerminal ? import('../log-terminal.ts').then(({ terminalLines }) => terminalLines()) : undefined,
  ]);
  return createLog({ level, format, destination });
}
