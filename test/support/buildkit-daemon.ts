import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { ChildProgram, succeed } from './child-program.ts';
import { programPath } from './programs.ts';
import { tempDir } from './temp-dir.ts';

/** A real buildkitd with directories and a socket of its own, asked by buildctl. Needs root. Ends with the test. */
export class BuildkitDaemon {
  readonly #directory: string;

  private constructor(directory: string) {
    this.#directory = directory;
  }

  /** `toml`: its buildkitd.toml. */
  static async start(toml: string): Promise<BuildkitDaemon> {
    const directory = await tempDir();
    const file = join(directory, 'buildkitd.toml');
    await writeFile(file, toml);
    const program = new ChildProgram(programPath('buildkitd'), [
      `--config=${file}`,
      `--root=${join(directory, 'root')}`,
      `--addr=unix://${join(directory, 'buildkitd.sock')}`,
      '--containerd-worker=false',
      '--oci-worker=true',
      `--oci-worker-binary=${programPath('crun')}`,
      '--oci-worker-snapshotter=native',
      '--oci-worker-net=host',
    ]);
    onTestFinished(async () => {
      await program.stop();
    });
    await program.until(
      () => (program.output.includes('running server on') ? true : undefined),
      'line that it serves',
    );
    return new BuildkitDaemon(directory);
  }

  /**
   * Builds a Dockerfile without any other file; `options` as `buildctl build --opt` takes them.
   * @returns the directory with the files of the result.
   */
  async build(name: string, dockerfile: string, ...options: readonly string[]): Promise<string> {
    const place = join(this.#directory, name);
    await mkdir(place);
    await writeFile(join(place, 'Dockerfile'), dockerfile);
    const sources = [`--local=context=${place}`, `--local=dockerfile=${place}`];
    const output = join(place, 'output');
    await this.#buildctl(
      'build',
      '--frontend=dockerfile.v0',
      ...sources,
      ...options.map((option) => `--opt=${option}`),
      `--output=type=local,dest=${output}`,
    );
    return output;
  }

  /** Forgets everything that it has pulled and built. */
  async prune(): Promise<void> {
    await this.#buildctl('prune', '--all');
  }

  async #buildctl(...args: readonly string[]): Promise<string> {
    const address = `--addr=unix://${join(this.#directory, 'buildkitd.sock')}`;
    return succeed(programPath('buildctl'), [address, ...args]);
  }
}
