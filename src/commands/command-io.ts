import type { Environment } from '../config.ts';
import type { StandardOutputLog } from '../log.ts';

export type ProcessEvent = 'SIGTERM' | 'SIGINT' | 'SIGHUP' | 'uncaughtException' | 'unhandledRejection';

/** What a command may know of and do to the process it runs in. Only main.ts touches the process itself. */
export interface CommandIo {
  readonly environment: Environment;
  readonly workingDir: string;
  /** This program's version. */
  readonly version: string;
  readonly nodeVersion: string;
  /** The program that further workers are. Absent: there can be none. */
  readonly frontFile?: string | undefined;
  /** Absent: there is none. Opened when it is first asked for. */
  readonly stdin?: AsyncIterable<Uint8Array> | undefined;
  /** For results. */
  readonly stdout: { write(text: string): void };
  /** For progress and prose. */
  readonly stderr: { write(text: string): void };
  /** True: a person reads standard output. */
  readonly isTerminal: boolean;
  /** What fits on the screen of standard output, now; absent: it is none, or does not say. */
  readonly screen?: { readonly rows: number; readonly columns: number } | undefined;
  /** Aborted when nobody reads standard output any more. */
  readonly outputGone?: AbortSignal | undefined;
  /** Standard error, where a person watches it: for progress bars. */
  readonly terminal?: NodeJS.WritableStream | undefined;
  /** Standard output for a log; the same one each time. */
  readonly openLogOutput: () => Promise<StandardOutputLog>;
  readonly events: {
    /** While somebody listens, Node's own reaction (ending the process) stays away. */
    on(event: ProcessEvent, listener: (what: unknown) => void): void;
    off(event: ProcessEvent, listener: (what: unknown) => void): void;
  };
}
