import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type FinishedProgram, type ProgramPlace, runProgram, succeed } from './child-program.ts';
import { programPath } from './programs.ts';
import { tempDir } from './temp-dir.ts';

/** Runs one of the programs, waits for its end. */
export interface ContainerTool {
  /** @throws when it fails. @returns its standard output. */
  succeed(...args: readonly string[]): Promise<string>;
  run(...args: readonly string[]): Promise<FinishedProgram>;
}

/** Directories and settings that share nothing with the machine's own. Gone with the test. */
export class ContainerTools {
  readonly directory: string;
  readonly #environment: Readonly<Record<string, string | undefined>>;

  readonly #within: ProgramPlace | undefined;

  private constructor(
    directory: string,
    environment: Readonly<Record<string, string | undefined>>,
    within: ProgramPlace | undefined,
  ) {
    this.directory = directory;
    this.#environment = environment;
    this.#within = within;
  }

  /** `registries`: the text of registries.conf, which names the mirrors. */
  static async open({
    registries = '',
    within,
  }: { readonly registries?: string; readonly within?: ProgramPlace } = {}): Promise<ContainerTools> {
    const directory = await tempDir();
    const home = join(directory, 'home');
    const settings = join(home, '.config', 'containers');
    await mkdir(settings, { recursive: true });
    await mkdir(join(directory, 'tmp'));
    await writeFile(join(directory, 'auth.json'), '{}');
    await writeFile(join(settings, 'registries.conf'), registries);
    const policy = { default: [{ type: 'insecureAcceptAnything' }] };
    await writeFile(join(settings, 'policy.json'), JSON.stringify(policy));
    const environment = {
      PATH: `${process.env['PATH']}:/usr/sbin:/sbin`,
      HOME: home,
      TMPDIR: join(directory, 'tmp'),
      XDG_RUNTIME_DIR: join(directory, 'tmp'),
      // It has to exist, or skopeo refuses to start.
      REGISTRY_AUTH_FILE: join(directory, 'auth.json'),
      // skopeo looks into HOME only, root's podman only here.
      CONTAINERS_REGISTRIES_CONF: join(settings, 'registries.conf'),
    };
    return new ContainerTools(directory, environment, within);
  }

  get skopeo(): ContainerTool {
    return this.tool('skopeo');
  }

  /** With storage of its own for each `name`; needs root. */
  buildah(name = 'buildah'): ContainerTool {
    return this.tool('buildah', this.#storage(name));
  }

  /** With storage of its own for each `name`; needs root. */
  podman(name = 'podman'): ContainerTool {
    return this.tool('podman', [
      ...this.#storage(name),
      `--tmpdir=${join(this.directory, name, 'tmp')}`,
      '--cgroup-manager=cgroupfs',
      '--events-backend=none',
    ]);
  }

  /** Any program that needs no more than a home of its own, with `options` before its other arguments. */
  tool(program: string, options: readonly string[] = []): ContainerTool {
    const path = programPath(program);
    const surroundings = {
      environment: this.#environment,
      workingDir: this.directory,
      within: this.#within,
    };
    return {
      succeed: (...args) => succeed(path, [...options, ...args], surroundings),
      run: (...args) => runProgram(path, [...options, ...args], surroundings),
    };
  }

  #storage(name: string): readonly string[] {
    const place = join(this.directory, name);
    return [`--root=${join(place, 'root')}`, `--runroot=${join(place, 'run')}`, '--storage-driver=vfs'];
  }
}

/** What to write into registries.conf to have Docker Hub's images from a mirror over http. */
export function mirrorOfDockerHub(location: string): string {
  return [
    '[[registry]]',
    'prefix = "docker.io"',
    'location = "docker.io"',
    '[[registry.mirror]]',
    `location = "${location}"`,
    'insecure = true',
    '',
  ].join('\n');
}
