import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import {
  ChildProgram,
  type FinishedProgram,
  type ProgramEnd,
  type ProgramPlace,
  runProgram,
} from './child-program.ts';
import { get } from './http-get.ts';
import { tempDir } from './temp-dir.ts';

/** What is built. */
export const ENTRY = join(import.meta.dirname, '..', '..', 'dist', 'entry.cjs');

export interface EntrepotOptions {
  /** The configuration file; put over free ports and the data directory. */
  readonly config?: Readonly<Record<string, unknown>>;
  /** Put over PATH, which is all it has otherwise. */
  readonly environment?: Readonly<Record<string, string>>;
  /** Default: a new one that goes with the test. */
  readonly dataDir?: string;
  readonly within?: ProgramPlace | undefined;
}

export type LogFacts = Readonly<Record<string, unknown>> & { readonly level: string; readonly msg: string };

export interface ProcessOptions {
  readonly environment?: Readonly<Record<string, string>>;
  readonly workingDir: string;
  readonly within?: ProgramPlace | undefined;
}

/** The built program as a child process, which listens. Ends with the test. */
export class EntrepotProcess {
  /** Of the registry: `http://host:port`. */
  readonly url: string;
  readonly adminUrl: string;
  readonly dataDir: string;
  /** The log line that says so. */
  readonly announcement: LogFacts;
  readonly #program: ChildProgram;

  private constructor(program: ChildProgram, announcement: LogFacts) {
    this.#program = program;
    this.announcement = announcement;
    this.url = String(announcement['registry']);
    this.adminUrl = String(announcement['admin']);
    this.dataDir = String(announcement['dataDir']);
  }

  /** Resolves when it listens. @throws with its output when it ends before that. */
  static async start(options: EntrepotOptions = {}): Promise<EntrepotProcess> {
    const workingDir = await tempDir();
    const file = join(workingDir, 'config.yaml');
    // JSON is YAML.
    await writeFile(file, JSON.stringify(configOf(options, workingDir)));
    return EntrepotProcess.spawn(['serve', '--config', file], { ...options, workingDir });
  }

  /** With arguments of one's own; resolves when it listens. */
  static async spawn(args: readonly string[], options: ProcessOptions): Promise<EntrepotProcess> {
    const program = new ChildProgram(process.execPath, [entry(), ...args], {
      within: options.within,
      environment: environmentOf(options.environment),
      workingDir: options.workingDir,
    });
    onTestFinished(async () => {
      await program.stop();
    });
    const announcement = await program.until(
      () => logFacts(program.stdout).find(({ msg }) => msg === 'listening'),
      'line that it listens',
    );
    return new EntrepotProcess(program, announcement);
  }

  /** `host:port` of the registry, as image references have it. */
  get host(): string {
    return new URL(this.url).host;
  }
  get log(): readonly LogFacts[] {
    return logFacts(this.#program.stdout);
  }
  /** Everything that it wrote. */
  get output(): string {
    return this.#program.output;
  }
  get pid(): number {
    const { pid } = this.#program;
    if (pid === undefined) throw new Error('it was never started');
    return pid;
  }
  get isRunning(): boolean {
    return this.#program.isRunning;
  }
  get ended(): Promise<ProgramEnd> {
    return this.#program.ended;
  }

  /** The log's lines about requests that named a repository. */
  get requests(): readonly LogFacts[] {
    return this.log.filter(({ msg, ...facts }) => msg.startsWith('request') && 'repository' in facts);
  }

  /** The first line with this message that passes, as soon as there is one. */
  async logged(message: string, passes: (facts: LogFacts) => boolean = () => true): Promise<LogFacts> {
    return this.#program.until(
      () => this.log.find((facts) => facts.msg === message && passes(facts)),
      `log line "${message}"`,
    );
  }

  async metrics(): Promise<string> {
    return (await get(`${this.adminUrl}/metrics`)).body.toString();
  }

  /** The sum of a metric's series; 0 when there is none. */
  async metric(name: string): Promise<number> {
    const lines = (await this.metrics()).split('\n');
    const own = lines.filter((line) => line.startsWith(`${name} `) || line.startsWith(`${name}{`));
    return own.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0);
  }

  signal(signal: NodeJS.Signals): void {
    this.#program.signal(signal);
  }

  /** SIGTERM, and what comes of it. */
  async stop(): Promise<ProgramEnd> {
    return this.#program.stop();
  }
}

/** Runs the built program to its end. */
export async function runEntrepot(
  args: readonly string[],
  options: ProcessOptions,
): Promise<FinishedProgram> {
  return runProgram(process.execPath, [entry(), ...args], {
    within: options.within,
    environment: environmentOf(options.environment),
    workingDir: options.workingDir,
  });
}

function entry(): string {
  if (!existsSync(ENTRY)) throw new Error(`${ENTRY} is missing: npm run build`);
  return ENTRY;
}

function environmentOf(extra: Readonly<Record<string, string>> = {}): Record<string, string | undefined> {
  return { PATH: process.env['PATH'], ...extra };
}

function configOf({ config = {}, dataDir }: EntrepotOptions, workingDir: string): Record<string, unknown> {
  return {
    listen: '127.0.0.1:0',
    admin: { listen: '127.0.0.1:0' },
    dataDir: dataDir ?? join(workingDir, 'data'),
    ...config,
  };
}

function logFacts(text: string): readonly LogFacts[] {
  // The last line may still be on its way.
  return text
    .split('\n')
    .slice(0, -1)
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as LogFacts);
}
