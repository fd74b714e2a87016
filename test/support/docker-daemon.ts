import { spawn, spawnSync } from 'node:child_process';
import { createReadStream, existsSync } from 'node:fs';
import { request } from 'node:http';
import { mkdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { onTestFinished } from 'vitest';
import { ChildProgram, type ProgramPlace, runProgram } from './child-program.ts';
import { programPath } from './programs.ts';
import { tempDir } from './temp-dir.ts';

/** What the daemon says of an image. */
export interface DaemonImage {
  /** The digest of its config. */
  readonly Id: string;
  readonly RepoDigests: readonly string[];
  readonly Architecture: string;
  readonly RootFS: { readonly Layers: readonly string[] };
}

interface DaemonOptions {
  readonly within?: ProgramPlace;
  readonly storage?: 'vfs' | 'overlay2';
}

/** Debian's, which has BuildKit's client in it: a newer one takes a plugin for that, which Debian does not have. */
function dockerCommand(): string {
  const debians = '/usr/bin/docker';
  return existsSync(debians) ? debians : programPath('docker');
}

/**
 * A real Docker daemon with directories, a socket and a containerd of its own, asked over its API as the docker
 * command does. Needs root. Ends with the test.
 */
export class DockerDaemon {
  readonly #directory: string;
  readonly #socket: string;
  readonly #program: ChildProgram;

  private constructor(directory: string, program: ChildProgram) {
    this.#directory = directory;
    this.#socket = join(directory, 'docker.sock');
    this.#program = program;
  }

  /** `settings`: its `daemon.json`. `storage`: vfs works everywhere, and copies every layer whole. */
  static async start(
    settings: Readonly<Record<string, unknown>>,
    { within, storage = 'vfs' }: DaemonOptions = {},
  ): Promise<DockerDaemon> {
    const directory = await tempDir();
    const socket = join(directory, 'docker.sock');
    const file = join(directory, 'daemon.json');
    await mkdir(join(directory, 'exec'));
    await writeFile(file, JSON.stringify(settings));
    const program = new ChildProgram(
      programPath('dockerd'),
      [
        `--config-file=${file}`,
        `--data-root=${join(directory, 'data')}`,
        `--exec-root=${join(directory, 'exec')}`,
        `--host=unix://${socket}`,
        `--pidfile=${join(directory, 'docker.pid')}`,
        `--storage-driver=${storage}`,
        '--iptables=false',
        '--ip6tables=false',
        '--bridge=none',
      ],
      { within },
    );
    onTestFinished(async () => {
      await program.stop();
      // Where mounts do not propagate the daemon makes a mount of its data root, and leaves it there.
      spawnSync('umount', ['--recursive', '--lazy', join(directory, 'data')], { stdio: 'ignore' });
      // And of the machine's network for containers that use it.
      spawnSync('umount', ['--lazy', join(directory, 'exec', 'netns', 'default')], { stdio: 'ignore' });
      // With images of whole systems in it, removing it takes longer than a test may wait.
      const gone = `${directory}-gone`;
      await rename(join(directory, 'data'), gone);
      spawn('rm', ['-rf', gone], { detached: true, stdio: 'ignore' }).unref();
    });
    await program.until(
      () => (program.output.includes('API listen on') ? true : undefined),
      'line that it listens',
    );
    return new DockerDaemon(directory, program);
  }

  get output(): string {
    return this.#program.output;
  }

  /**
   * The docker command, with BuildKit, at this daemon and with no settings of anybody's.
   * @throws when it fails. @returns what it says on both its outputs.
   */
  async command(
    args: readonly string[],
    { limitMs = 60_000 }: { readonly limitMs?: number } = {},
  ): Promise<string> {
    const environment = {
      PATH: process.env['PATH'],
      HOME: this.#directory,
      DOCKER_CONFIG: join(this.#directory, 'config'),
      DOCKER_HOST: `unix://${this.#socket}`,
      DOCKER_BUILDKIT: '1',
    };
    const ran = await runProgram(dockerCommand(), args, { environment, limitMs });
    if (ran.code === 0) return `${ran.stdout}${ran.stderr}`.trim();
    throw new Error(`docker ${args.join(' ')}: ${ran.signal ?? ran.code}\n${ran.stdout}\n${ran.stderr}`);
  }

  /** `docker pull`. @throws with what it says when it fails. */
  async pull(image: string, { platform }: { readonly platform?: string } = {}): Promise<void> {
    const query = new URLSearchParams({ fromImage: image, ...(platform !== undefined && { platform }) });
    const { status, text } = await this.#ask('POST', `/images/create?${query.toString()}`);
    const failure = /"error":"(?:[^"\\]|\\.)*"/.exec(text)?.[0];
    if (status !== 200 || failure !== undefined)
      throw new Error(`pull ${image}: ${status} ${failure ?? text}`);
  }

  /** `docker image inspect`. */
  async image(image: string): Promise<DaemonImage> {
    const { status, text } = await this.#ask('GET', `/images/${image}/json`);
    if (status !== 200) throw new Error(`inspect ${image}: ${status} ${text}`);
    return JSON.parse(text) as DaemonImage;
  }

  /** `docker rmi --force`. */
  async remove(image: string): Promise<void> {
    const { status, text } = await this.#ask('DELETE', `/images/${image}?force=true`);
    if (status !== 200) throw new Error(`remove ${image}: ${status} ${text}`);
  }

  /** `docker save`: a tar archive that holds the image's files. */
  async save(image: string): Promise<Buffer> {
    const { status, body } = await this.#ask('GET', `/images/${image}/get`);
    if (status !== 200) throw new Error(`save ${image}: ${status}`);
    return body;
  }

  /** `docker load`. @throws with what it says when it fails. */
  async load(file: string): Promise<void> {
    const { status, text } = await this.#ask('POST', '/images/load?quiet=1', createReadStream(file));
    if (status !== 200 || text.includes('"error"')) throw new Error(`load ${file}: ${status} ${text}`);
  }

  async #ask(
    method: string,
    path: string,
    sent?: Readable,
  ): Promise<{ status: number; text: string; body: Buffer }> {
    return new Promise((resolve, reject) => {
      const asking = request({ socketPath: this.#socket, method, path, agent: false }, (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('error', reject);
        response.on('end', () => {
          const body = Buffer.concat(chunks);
          resolve({ status: response.statusCode ?? 0, text: body.toString(), body });
        });
      });
      asking.on('error', reject);
      if (sent === undefined) asking.end();
      else {
        asking.setHeader('Content-Type', 'application/x-tar');
        sent.on('error', reject).pipe(asking);
      }
    });
  }
}
