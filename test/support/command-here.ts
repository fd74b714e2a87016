import { EventEmitter } from 'node:events';
import { runProgram } from '../../src/commands/program.ts';
import type { FinishedProgram } from './child-program.ts';
import type { ProcessOptions } from './entrepot-process.ts';

/**
 * Runs a command to its end in this process, as `runEntrepot` runs the built program in one of its own: for tests of what
 * a command does and says. A process of its own costs as much CPU as ten of these; what it alone shows (exit codes,
 * streams, signals, what is built) is for tests that are about that.
 */
export async function runHere(
  args: readonly string[],
  { workingDir, environment = {} }: Omit<ProcessOptions, 'within'>,
): Promise<FinishedProgram> {
  const said = { stdout: '', stderr: '' };
  const events = new EventEmitter();
  const write = (text: string) => void (said.stdout += text);
  const code = await runProgram(args, {
    environment: { PATH: process.env['PATH'], ...environment },
    workingDir,
    version: '0.0.0',
    nodeVersion: process.version,
    stdout: { write },
    stderr: { write: (text) => void (said.stderr += text) },
    isTerminal: false,
    openLogOutput: () => Promise.resolve({ write, flushSync: () => undefined }),
    events: {
      on: (event, listener) => void events.on(event, listener),
      off: (event, listener) => void events.off(event, listener),
    },
  });
  return { code, signal: null, ...said };
}
