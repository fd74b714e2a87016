import { EventEmitter } from 'node:events';
import type { CommandIo } from '../../src/commands/command-io.ts';
import { tempDir } from './temp-dir.ts';

/** A process that is none: what it was told and what it said. */
export interface FakeProcess {
  readonly io: CommandIo;
  readonly events: EventEmitter;
  stdout(): string;
  stderr(): string;
  /** The lines of the log so far. */
  logged(): readonly Record<string, unknown>[];
  /** The log line with this message, as soon as there is one. */
  line(message: string): Promise<Record<string, unknown>>;
}

/** Listens on free ports unless `environment` says otherwise; its working directory goes with the test. */
export async function fakeProcess(
  environment: Record<string, string> = {},
  isTerminal = false,
): Promise<FakeProcess> {
  const workingDir = await tempDir();
  const said = { stdout: '', stderr: '', log: '' };
  const events = new EventEmitter();
  const logged = () =>
    said.log
      .split('\n')
      .filter((line) => line.startsWith('{'))
      .map((line) => JSON.parse(line) as Record<string, unknown>);
  const io: CommandIo = {
    environment: { ENTREPOT_LISTEN: '127.0.0.1:0', ENTREPOT_ADMIN_LISTEN: '127.0.0.1:0', ...environment },
    workingDir,
    version: '1.2.3',
    nodeVersion: 'v20.0.0',
    stdout: { write: (text) => void (said.stdout += text) },
    stderr: { write: (text) => void (said.stderr += text) },
    isTerminal,
    openLogOutput: () =>
      Promise.resolve({
        write: (line: string) => {
          said.log += line;
          events.emit('logged');
        },
        flushSync: () => undefined,
      }),
    events: {
      on: (event, listener) => void events.on(event, listener),
      off: (event, listener) => void events.off(event, listener),
    },
  };
  const line = async (message: string): Promise<Record<string, unknown>> => {
    for (;;) {
      const found = logged().find(({ msg }) => msg === message);
      if (found !== undefined) return found;
      await new Promise((resolve) => events.once('logged', resolve));
    }
  };
  return { io, events, stdout: () => said.stdout, stderr: () => said.stderr, logged, line };
}
