import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { get } from 'node:http';
import { createServer, type AddressInfo } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

/** A server as a child process: started, waited for, measured through /proc, and ended, all within bounds. */

export interface ServerCommand {
  readonly file: string;
  readonly args: readonly string[];
  /** Where what it prints goes. */
  readonly logFile: string;
  /** Answers 200 once it serves. */
  readonly readyUrl: string;
}

const READY_LIMIT_MS = 15_000;
const STOP_LIMIT_MS = 10_000;
/** `sysconf(_SC_CLK_TCK)`: 100 on every Linux that Node runs on. */
const TICKS_PER_SECOND = 100;

const running = new Set<ChildProcess>();
// However this process ends, but for SIGKILL, its servers end with it.
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));

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
    const child = spawn(command.file, command.args, { stdio: ['ignore', log, log] });
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

  /** User and system time so far of all its threads, those that ended included. */
  async cpuSeconds(): Promise<number> {
    const stat = await readFile(`/proc/${this.pid}/stat`, 'utf8');
    // The second field is the command's name in brackets and may hold anything; utime and stime are fields 14 and 15.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
  }

  /** The largest resident set so far (VmHWM), in bytes. */
  async peakRssBytes(): Promise<number> {
    const status = await readFile(`/proc/${this.pid}/status`, 'utf8');
    const kibibytes = /^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1];
    if (kibibytes === undefined) throw new Error('no VmHWM in /proc: is this Linux?');
    return Number(kibibytes) * 1024;
  }

  /** SIGTERM, and SIGKILL when that does not end it within 10 s. Idempotent. */
  async stop(): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) this.#child.kill('SIGTERM');
    const limit = new AbortController();
    const late = delay(STOP_LIMIT_MS, 'late' as const, { signal: limit.signal });
    late.catch(() => undefined);
    if ((await Promise.race([this.#ended, late])) === 'late') this.#child.kill('SIGKILL');
    limit.abort();
    await this.#ended;
  }

  /** SIGKILL: as a crash ends it. */
  async kill(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#ended;
  }

  async #ready(): Promise<void> {
    const deadline = performance.now() + READY_LIMIT_MS;
    while (!(await answers(this.#command.readyUrl))) {
      if (!running.has(this.#child)) throw new Error(`${this.#command.file} ended: ${await this.#said()}`);
      if (performance.now() > deadline) {
        throw new Error(`${this.#command.file} did not serve in time: ${await this.#said()}`);
      }
      await delay(20);
    }
  }

  async #said(): Promise<string> {
    const text = await readFile(this.#command.logFile, 'utf8');
    return text.slice(-2000);
  }
}

/** Ports that nobody listens on now. All of one call differ. */
export async function freePorts(count: number): Promise<readonly number[]> {
  const servers = Array.from({ length: count }, () => createServer());
  const ports = await Promise.all(
    servers.map(
      async (server) =>
        new Promise<number>((resolve, reject) => {
          server.once('error', reject);
          server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port));
        }),
    ),
  );
  await Promise.all(servers.map(async (server) => new Promise((resolve) => void server.close(resolve))));
  return ports;
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
