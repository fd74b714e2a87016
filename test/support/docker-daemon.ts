import { spawnSync } from 'node:child_process';
import { createReadStream } from 'node:fs';
import { request } from 'node:http';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { onTestFinished } from 'vitest';
import { ChildProgram, type ProgramPlace } from './child-program.ts';
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

/**
 * A real Docker daemon with directories, a socket and a containerd of its own, asked over its API as the docker
 * command does. Needs root. Ends with the test.
 */
export class DockerDaemon {
  readonly #socket: string;
  readonly #program: ChildProgram;

  private constructor(socket: string, program: ChildProgram) {
    this.#socket = socket;
    this.#program = program;
  }

  /** `settings`: its `daemon.json`. */
  static async start(
    settings: Readonly<Record<string, unknown>>,
    { within }: { readonly within?: ProgramPlace } = {},
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
        '--storage-driver=vfs',
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
    });
    await program.until(
      () => (program.output.includes('API listen on') ? true : undefined),
      'line that it listens',
    );
    return new DockerDaemon(socket, program);
  }

  get output(): string {
    return this.#program.output;
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
