import { type ChildProcess, spawn } from 'node:child_process';

export interface ChildOptions {
  /** In place of this process's environment. */
  readonly environment?: Readonly<Record<string, string | undefined>>;
  readonly workingDir?: string;
  /** Where it runs, in place of this process's network. */
  readonly within?: ProgramPlace | undefined;
}

/** A place that programs are started in by another program. */
export interface ProgramPlace {
  /** Before the program's path. */
  readonly prefix: readonly string[];
}

/** How a program ended: one of the two. */
export interface ProgramEnd {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

const WAIT_LIMIT_MS = 60_000;
const STOP_LIMIT_MS = 30_000;

/** What is still running when the test process ends, whatever ended it. */
const running = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

/** A program that runs as a child of the test. Only ever this process is signalled, by its id. */
export class ChildProgram {
  readonly name: string;
  /** Resolves when it is over and its output is read. */
  readonly ended: Promise<ProgramEnd>;
  readonly #child: ChildProcess;
  readonly #watchers = new Set<() => void>();
  #stdout = '';
  #stderr = '';
  #isOver = false;

  constructor(path: string, args: readonly string[], options: ChildOptions = {}) {
    this.name = path.slice(path.lastIndexOf('/') + 1);
    const [program = path, ...rest] = [...(options.within?.prefix ?? []), path, ...args];
    const child = spawn(program, rest, {
      stdio: ['ignore', 'pipe', 'pipe'],
      ...(options.environment && { env: { ...options.environment } }),
      ...(options.workingDir !== undefined && { cwd: options.workingDir }),
    });
    this.#child = child;
    running.add(child);
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      this.#stdout += text;
      this.#changed();
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr += text;
      this.#changed();
    });
    this.ended = new Promise((resolve) => {
      const over = (code: number | null, signal: NodeJS.Signals | null): void => {
        this.#isOver = true;
        running.delete(child);
        resolve({ code, signal });
        this.#changed();
      };
      child.once('close', over);
      child.once('error', (error) => {
        this.#stderr += error.message;
        if (child.pid === undefined) over(null, null);
      });
    });
  }

  /** Absent when it could not be started. */
  get pid(): number | undefined {
    return this.#child.pid;
  }
  get stdout(): string {
    return this.#stdout;
  }
  get stderr(): string {
    return this.#stderr;
  }
  /** Both, for error messages and for what must appear nowhere. */
  get output(): string {
    return `${this.#stdout}\n${this.#stderr}`;
  }
  get isRunning(): boolean {
    return !this.#isOver;
  }

  /**
   * What `find` makes of the output, as soon as that is something.
   * @throws when the program is over, or the time is, before that.
   */
  async until<T>(find: () => T | undefined, what: string): Promise<T> {
    const deadline = performance.now() + WAIT_LIMIT_MS;
    for (;;) {
      const found = find();
      if (found !== undefined) return found;
      if (this.#isOver) throw new Error(`${this.name} ended before ${what}:\n${this.output}`);
      const left = deadline - performance.now();
      if (left <= 0) throw new Error(`${this.name}: no ${what} in ${WAIT_LIMIT_MS} ms:\n${this.output}`);
      await this.#change(left);
    }
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** By SIGTERM; by SIGKILL when that takes too long. */
  async stop(): Promise<ProgramEnd> {
    if (this.isRunning) this.#child.kill('SIGTERM');
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), STOP_LIMIT_MS);
    try {
      return await this.ended;
    } finally {
      clearTimeout(timer);
    }
  }

  #changed(): void {
    for (const watcher of this.#watchers) watcher();
  }

  async #change(limitMs: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        this.#watchers.delete(done);
        resolve();
      };
      const timer = setTimeout(done, limitMs);
      this.#watchers.add(done);
    });
  }
}

export interface FinishedProgram extends ProgramEnd {
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program to its end, which has to come in time. */
export async function runProgram(
  path: string,
  args: readonly string[],
  { limitMs = 60_000, ...options }: ChildOptions & { readonly limitMs?: number } = {},
): Promise<FinishedProgram> {
  const program = new ChildProgram(path, args, options);
  const timer = setTimeout(() => program.signal('SIGKILL'), limitMs);
  try {
    const end = await program.ended;
    return { ...end, stdout: program.stdout, stderr: program.stderr };
  } finally {
    clearTimeout(timer);
  }
}

/** As `runProgram`, for what has to succeed. @returns its standard output. */
export async function succeed(
  path: string,
  args: readonly string[],
  options: ChildOptions & { readonly limitMs?: number } = {},
): Promise<string> {
  const { code, signal, stdout, stderr } = await runProgram(path, args, options);
  if (code === 0) return stdout;
  throw new Error(`${path} ${args.join(' ')}: ${signal ?? `exit code ${code}`}\n${stdout}\n${stderr}`);
}
