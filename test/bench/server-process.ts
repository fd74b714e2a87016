import { type ChildProcess, spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { closeSync, openSync, readdirSync, readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { get } from 'node:http';
import { createServer } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

/**
 * A server as a child process: started, waited for, measured through /proc, and ended, all within bounds. However the
 * bench ends, its servers end with it: see leftovers.ts.
 */

export interface ServerCommand {
  readonly file: string;
  readonly args: readonly string[];
  /** Where what it prints goes. */
  readonly logFile: string;
  /** Answers 200 once it serves. */
  readonly readyUrl: string;
  /** Beside what this process has. Default: nothing. */
  readonly environment?: Readonly<Record<string, string>>;
}

const READY_LIMIT_MS = 15_000;
/** Start-up is told to within so much. */
const READY_LOOK_MS = 5;
const STOP_LIMIT_MS = 10_000;
/** `sysconf(_SC_CLK_TCK)`: 100 on every Linux that Node runs on. */
const TICKS_PER_SECOND = 100;

const running = new Set<ChildProcess>();

export class ServerProcess {
  readonly #child: ChildProcess;
  readonly #command: ServerCommand;
  readonly #ended: Promise<void>;

  private constructor(child: ChildProcess, command: ServerCommand) {
    this.#child = child;
    this.#command = command;
    running.add(child);
    this.#ended = new Promise((resolve) => {
      const end = (): void => {
        running.delete(child);
        resolve();
      };
      child.once('exit', end);
      child.once('error', end);
    });
  }

  /** @throws when it does not serve within 15 s. */
  static async start(command: ServerCommand): Promise<ServerProcess> {
    const log = openSync(command.logFile, 'a');
    // In a group of its own, so that what it starts can be counted and ended with it.
    const child = spawn(command.file, command.args, {
      stdio: ['ignore', log, log],
      detached: true,
      env: { ...process.env, ...command.environment },
    });
    closeSync(log);
    const server = new ServerProcess(child, command);
    try {
      await server.#ready();
    } catch (error) {
      await server.stop();
      throw error;
    }
    return server;
  }

  get pid(): number {
    if (this.#child.pid === undefined) throw new Error(`${this.#command.file} did not start`);
    return this.#child.pid;
  }

  /** User and system time so far, of all that it started too, and of their threads; what has ended included. */
  async cpuSeconds(): Promise<number> {
    // utime, stime, cutime and cstime are fields 14 to 17.
    const ticks = this.#group().flatMap(({ fields }) => fields.slice(11, 15).map(Number));
    return ticks.reduce((sum, value) => sum + value, 0) / TICKS_PER_SECOND;
  }

  /** The largest resident set so far, in bytes; of several processes the sum, what they share counted in each. */
  async peakRssBytes(): Promise<number> {
    return this.#memoryBytes(/^VmHWM:\s+(\d+) kB$/m);
  }

  /** The resident set now, in bytes; of several processes as above. */
  async rssBytes(): Promise<number> {
    return this.#memoryBytes(/^VmRSS:\s+(\d+) kB$/m);
  }

  /** SIGTERM, and SIGKILL when that does not end it within 10 s. Idempotent. */
  async stop(): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) this.#child.kill('SIGTERM');
    const limit = new AbortController();
    const late = delay(STOP_LIMIT_MS, 'late' as const, { signal: limit.signal });
    late.catch(() => undefined);
    if ((await Promise.race([this.#ended, late])) === 'late') killGroup(this.#child);
    limit.abort();
    await this.#ended;
  }

  /** SIGKILL: as a crash ends it. */
  async kill(): Promise<void> {
    killGroup(this.#child);
    await this.#ended;
  }

  /** It and all that it started, as /proc has them; the fields from the third on, the state. */
  #group(): readonly ProcessEntry[] {
    const { pid } = this;
    const entries = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
    return entries
      .map((name) => {
        const stat = ofProcess(name, 'stat', /^.*$/s);
        // The second field is the command's name in brackets and may hold anything.
        return { pid: name, fields: stat.slice(stat.lastIndexOf(')') + 2).split(' ') };
      })
      .filter(({ fields }) => fields[2] === String(pid));
  }

  #memoryBytes(wanted: RegExp): number {
    let kibibytes = 0;
    for (const { pid } of this.#group()) kibibytes += Number(ofProcess(pid, 'status', wanted));
    if (kibibytes === 0) throw new Error('no resident set in /proc: is this Linux?');
    return kibibytes * 1024;
  }

  async #ready(): Promise<void> {
    const deadline = performance.now() + READY_LIMIT_MS;
    while (!(await answers(this.#command.readyUrl))) {
      if (!running.has(this.#child)) throw new Error(`${this.#command.file} ended: ${await this.#said()}`);
      if (performance.now() > deadline) {
        throw new Error(`${this.#command.file} did not serve in time: ${await this.#said()}`);
      }
      await delay(READY_LOOK_MS);
    }
  }

  async #said(): Promise<string> {
    const text = await readFile(this.#command.logFile, 'utf8');
    return text.slice(-2000);
  }
}

interface ProcessEntry {
  readonly pid: string;
  readonly fields: readonly string[];
}

/** What matches in a file of a process, the first group where there is one; empty when it is over. */
function ofProcess(pid: string, name: string, wanted: RegExp): string {
  try {
    const [whole = '', part = whole] = wanted.exec(readFileSync(`/proc/${pid}/${name}`, 'utf8')) ?? [];
    return part;
  } catch {
    return '';
  }
}

function killGroup({ pid }: ChildProcess): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // Nobody is left.
  }
}

/** Below those that kernels give to connections: else one of the many clients' may have it when the server starts. */
const PORTS = { from: 20_000, to: 32_000 };
const PORT_TRIES = 100;

/** Ports that nobody listens on now. All of one call differ. @throws when there are none */
export async function freePorts(count: number): Promise<readonly number[]> {
  const ports = new Set<number>();
  for (let tries = 0; ports.size < count; tries += 1) {
    if (tries > PORT_TRIES) throw new Error(`no free port from ${PORTS.from} to ${PORTS.to}`);
    const port = randomInt(PORTS.from, PORTS.to);
    if (await isFree(port)) ports.add(port);
  }
  return [...ports];
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer();
  return new Promise((resolve) => {
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}

async function answers(url: string): Promise<boolean> {
  return new Promise((resolve) => {
    const request = get(url, { agent: false, timeout: 1000 }, (response) => {
      response.resume();
      resolve(response.statusCode === 200);
    });
    request.on('timeout', () => request.destroy());
    request.on('error', () => resolve(false));
  });
}
