import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { download } from './download.ts';
import { type EntrepotProcess, startEntrepot } from './entrepot-process.ts';
import type { Figure } from './figure.ts';
import { findProgram } from './find-program.ts';
import { undoAtExit } from './leftovers.ts';
import { machineSize, type Needs, shortages, treePlace } from './machine-size.ts';
import { NginxUpstream } from './nginx-upstream.ts';
import type { Contestant, RunningPeer } from './peers/peer.ts';
import type { ServerProcess } from './server-process.ts';
import { Skipped } from './skipped.ts';

export const MIB = 1024 * 1024;

export interface Scenario {
  readonly name: string;
  /** What it does, with what client, in one line. */
  readonly says: string;
  /** On machines with less it is skipped, and said to be. Default: what most scenarios need. */
  needs?(options: { readonly quick: boolean }): Needs;
  /** Who is measured, in place of entrepot and its peers. */
  readonly contestants?: readonly Contestant[];
  run(bench: Workbench): Promise<readonly Figure[]>;
}

/** Servers and directories for one scenario; closing ends and removes all of them. */
export class Workbench {
  readonly upstream: NginxUpstream;
  /** entrepot and all of its peers that are here. */
  readonly contestants: readonly Contestant[];
  readonly rounds: number;
  readonly quick: boolean;
  readonly #notes: string[] = [];
  readonly #dirs: readonly string[];
  readonly #servers = new Set<{ stop(): Promise<void> }>();
  readonly #forget: () => void;
  #started = 0;

  private constructor(upstream: NginxUpstream, { dirs, forget }: Directories, options: WorkbenchOptions) {
    this.upstream = upstream;
    this.contestants = options.contestants;
    this.rounds = options.rounds;
    this.quick = options.quick;
    this.#dirs = dirs;
    this.#forget = forget;
  }

  /** @throws {Skipped} when this machine is too small */
  static async open(options: WorkbenchOptions): Promise<Workbench> {
    const { needs = {} } = options;
    const machine = await machineSize();
    const lacking = shortages(needs, machine);
    if (lacking.length > 0) throw new Skipped(`this machine is too small: ${lacking.join('; ')}`);
    const inMemory = treePlace(needs, machine) === '/dev/shm';
    const directories = makeDirectories([tmpdir(), inMemory ? '/dev/shm' : tmpdir()]);
    const [, tree = ''] = directories.dirs;
    try {
      const upstream = await NginxUpstream.start(options.nginx, tree);
      return new Workbench(upstream, directories, options);
    } catch (error) {
      await removeAll(directories);
      throw error;
    }
  }

  /** With an empty cache; it has done one small pull, so that its code and its upstream connection are warm. */
  async startEntrepot(upstreamUrl = this.upstream.url): Promise<EntrepotProcess> {
    const entrepot = await startEntrepot({ dir: await this.newDir('entrepot'), upstreamUrl });
    this.#servers.add(entrepot.process);
    const small = await this.upstream.addBlob(MIB);
    await download(entrepot.url + small.path);
    await this.upstream.remove(small);
    return entrepot;
  }

  /** With an empty cache. */
  async startPeer({ peer, found }: Contestant, upstreamUrl = this.upstream.url): Promise<RunningPeer> {
    const dir = await this.newDir(peer.name.replaceAll(' ', '-'));
    return this.adopt(await peer.start({ dir, upstreamUrl, file: found.file }));
  }

  /** Ends one before the others and removes what it stored. */
  async retire({ process: server, dir }: RetiringServer): Promise<void> {
    await server.stop();
    this.#servers.delete(server);
    await rm(dir, { recursive: true });
  }

  /** What was written so far reaches the disk now and not while something is measured. */
  async settle(): Promise<void> {
    const [dir = tmpdir()] = this.#dirs;
    await promisify(execFile)('sync', ['-f', dir], { timeout: 60_000 });
  }

  /** What is to be known about the figures; printed above them. */
  note(line: string): void {
    this.#notes.push(line);
  }

  get notes(): readonly string[] {
    return this.#notes;
  }

  /** The path of a client. @throws {Skipped} when it is not on this machine */
  async program(name: string): Promise<string> {
    const path = await findProgram(name);
    if (path === undefined) throw new Skipped(`${name} is missing; on Debian: apt-get install ${name}`);
    return path;
  }

  async close(): Promise<void> {
    await Promise.all([...this.#servers, this.upstream].map(async (server) => server.stop()));
    await removeAll({ dirs: this.#dirs, forget: this.#forget });
  }

  /** A server of its own making, ended with the others. */
  adopt<T extends { readonly process: ServerProcess }>(server: T): T {
    this.#servers.add(server.process);
    return server;
  }

  async newDir(name: string): Promise<string> {
    this.#started += 1;
    const path = join(this.#dirs[0] ?? tmpdir(), `${name}-${this.#started}`);
    await mkdir(path);
    return path;
  }
}

export interface RetiringServer {
  readonly process: ServerProcess;
  readonly dir: string;
}

export interface WorkbenchOptions {
  /** The program behind the upstream. */
  readonly nginx: string;
  readonly contestants: readonly Contestant[];
  readonly rounds: number;
  readonly quick: boolean;
  /** The scenario's. */
  readonly needs?: Needs | undefined;
}

interface Directories {
  readonly dirs: readonly string[];
  /** No more to be removed at exit. */
  readonly forget: () => void;
}

/** A temporary directory in each of them, removed at the latest when the bench ends. */
function makeDirectories(parents: readonly string[]): Directories {
  const dirs: string[] = [];
  const forget = undoAtExit(() => {
    for (const dir of dirs) rmSync(dir, { recursive: true, force: true, maxRetries: 3 });
  });
  for (const parent of parents) dirs.push(mkdtempSync(join(parent, `entrepot-bench-${process.pid}-`)));
  return { dirs, forget };
}

async function removeAll({ dirs, forget }: Directories): Promise<void> {
  await Promise.all(dirs.map(async (dir) => rm(dir, { recursive: true, force: true })));
  forget();
}
