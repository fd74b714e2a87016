import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { ChildProgram, type ProgramPlace, succeed } from './child-program.ts';
import { programPath } from './programs.ts';
import { tempDir } from './temp-dir.ts';

/** A real containerd with directories and a socket of its own, asked by ctr. Needs root. Ends with the test. */
export class ContainerdProcess {
  readonly #directory: string;
  readonly #socket: string;

  readonly #within: ProgramPlace | undefined;

  private constructor(directory: string, socket: string, within: ProgramPlace | undefined) {
    this.#directory = directory;
    this.#socket = socket;
    this.#within = within;
  }

  static async start({ within }: { readonly within?: ProgramPlace } = {}): Promise<ContainerdProcess> {
    const directory = await tempDir();
    const socket = join(directory, 'containerd.sock');
    const config = [
      'version = 2',
      `root = ${JSON.stringify(join(directory, 'root'))}`,
      `state = ${JSON.stringify(join(directory, 'state'))}`,
      // What pulls images for Kubernetes wants a network; ctr needs it not.
      'disabled_plugins = ["io.containerd.grpc.v1.cri"]',
      '[grpc]',
      `address = ${JSON.stringify(socket)}`,
    ];
    const file = join(directory, 'config.toml');
    await writeFile(file, `${config.join('\n')}\n`);
    const program = new ChildProgram(programPath('containerd'), [`--config=${file}`], { within });
    onTestFinished(async () => {
      await program.stop();
    });
    await program.until(
      () => (program.output.includes('containerd successfully booted') ? true : undefined),
      'line that it serves',
    );
    return new ContainerdProcess(directory, socket, within);
  }

  /** Writes `certs.d/<registry>/hosts.toml`, which says where a registry's images are asked for. */
  async hosts(registry: string, text: string): Promise<void> {
    const folder = join(this.#directory, 'certs.d', registry);
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, 'hosts.toml'), text);
  }

  async pull(image: string, ...options: readonly string[]): Promise<void> {
    const hosts = `--hosts-dir=${join(this.#directory, 'certs.d')}`;
    await this.ctr('images', 'pull', hosts, '--snapshotter=native', ...options, image);
  }

  /** The digest of what a name points to. */
  async digestOf(image: string): Promise<string | undefined> {
    const listed = await this.ctr('images', 'list', `name==${image}`);
    return /sha256:[0-9a-f]{64}/.exec(listed)?.[0];
  }

  /** The digests of everything it has. */
  async contents(): Promise<readonly string[]> {
    return (await this.ctr('content', 'list', '--quiet')).split('\n').filter((line) => line !== '');
  }

  /** Forgets an image and all that only it needed. */
  async remove(image: string): Promise<void> {
    await this.ctr('images', 'remove', '--sync', image);
  }

  async ctr(...args: readonly string[]): Promise<string> {
    const place = { within: this.#within };
    return succeed(programPath('ctr'), [`--address=${this.#socket}`, '--namespace=test', ...args], place);
  }
}
