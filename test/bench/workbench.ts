import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm, statfs } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { download } from './download.ts';
import { type EntrepotProcess, startEntrepot } from './entrepot-process.ts';
import type { Figure } from './figure.ts';
import { findProgram } from './find-program.ts';
import { NginxUpstream } from './nginx-upstream.ts';
import type { Contestant, RunningPeer } from './peers/peer.ts';
import type { ServerProcess } from './server-process.ts';
import { Skipped } from './skipped.ts';

export const MIB = 1024 * 1024;
const GIB = 1024 * MIB;
/** What the largest scenario keeps in the upstream's tree, with room to spare. */
const TREE_BYTES = 5 * GIB;

export interface Scenario {
  readonly name: string;
  /** What it does, with what client, in one line. */
  readonly says: string;
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
  #started = 0;

  private constructor(upstream: NginxUpstream, dirs: readonly string[], options: WorkbenchOptions) {
    this.upstream = upstream;
    this.contestants = options.contestants;
    this.rounds = options.rounds;
    this.quick = options.quick;
    this.#dirs = dirs;
  }

  static async open(options: WorkbenchOptions): Promise<Workbench> {
    const dir = await mkdtemp(join(tmpdir(), 'entrepot-bench-'));
    const tree = await mkdtemp(join(await treeParent(), 'entrepot-bench-upstream-'));
    try {
      const upstream = await NginxUpstream.start(options.nginx, tree);
      return new Workbench(upstream, [dir, tree], options);
    } catch (error) {
      await Promise.all([dir, tree].map(async (path) => rm(path, { recursive: true })));
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
    await Promise.all(this.#dirs.map(async (dir) => rm(dir, { recursive: true, force: true })));
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
}

/** In memory where there is enough of it, so that the upstream neither reads a disk nor has its writes in the way. */
async function treeParent(): Promise<string> {
  try {
    const { bavail, bsize } = await statfs('/dev/shm');
    return bavail * bsize > TREE_BYTES ? '/dev/shm' : tmpdir();
  } catch {
    return tmpdir();
  }
}
