import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm, statfs } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { type DockerRegistry, startDockerRegistry } from './docker-registry.ts';
import { download } from './download.ts';
import { type EntrepotProcess, startEntrepot } from './entrepot-process.ts';
import type { Figure } from './figure.ts';
import { NginxUpstream } from './nginx-upstream.ts';
import type { ServerProcess } from './server-process.ts';

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

export interface Programs {
  readonly nginx: string;
  readonly dockerRegistry: string;
  readonly wrk: string;
  readonly curl: string;
}

/** Servers and directories for one scenario; closing ends and removes all of them. */
export class Workbench {
  readonly upstream: NginxUpstream;
  readonly programs: Programs;
  readonly rounds: number;
  readonly quick: boolean;
  readonly #dirs: readonly string[];
  readonly #servers = new Set<{ stop(): Promise<void> }>();
  #started = 0;

  private constructor(upstream: NginxUpstream, dirs: readonly string[], options: WorkbenchOptions) {
    this.upstream = upstream;
    this.programs = options.programs;
    this.rounds = options.rounds;
    this.quick = options.quick;
    this.#dirs = dirs;
  }

  static async open(options: WorkbenchOptions): Promise<Workbench> {
    const dir = await mkdtemp(join(tmpdir(), 'entrepot-bench-'));
    const tree = await mkdtemp(join(await treeParent(), 'entrepot-bench-upstream-'));
    try {
      const upstream = await NginxUpstream.start(options.programs.nginx, tree);
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

  async startDockerRegistry(): Promise<DockerRegistry> {
    const registry = await startDockerRegistry({
      file: this.programs.dockerRegistry,
      dir: await this.newDir('docker-registry'),
      upstreamUrl: this.upstream.url,
    });
    this.#servers.add(registry.process);
    return registry;
  }

  /** Ends one before the others and removes what it stored. */
  async retire({ process: server, dir }: EntrepotProcess): Promise<void> {
    await server.stop();
    this.#servers.delete(server);
    await rm(dir, { recursive: true });
  }

  /** What was written so far reaches the disk now and not while something is measured. */
  async settle(): Promise<void> {
    const [dir = tmpdir()] = this.#dirs;
    await promisify(execFile)('sync', ['-f', dir], { timeout: 60_000 });
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

export interface WorkbenchOptions {
  readonly programs: Programs;
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
