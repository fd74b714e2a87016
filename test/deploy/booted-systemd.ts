import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, onTestFinished } from 'vitest';
import { ChildProgram, type FinishedProgram, runProgram } from '../support/child-program.ts';
import { programPath } from '../support/programs.ts';
import { tempDir } from '../support/temp-dir.ts';

const ROOT = join(import.meta.dirname, '..', '..');
const HIERARCHIES = ['/sys/fs/cgroup/systemd', '/sys/fs/cgroup'];

/**
 * A real systemd as the first process of namespaces of its own, with the network of this machine, and this checkout as
 * the installed program. Needs root. Ends with the test.
 */
export class BootedSystemd {
  readonly #pid: string;

  private constructor(pid: string) {
    this.#pid = pid;
  }

  static async start(): Promise<BootedSystemd> {
    const directory = await tempDir();
    const hierarchy = HIERARCHIES.find((path) => existsSync(join(path, 'cgroup.procs')));
    expect.assert(hierarchy !== undefined);
    const group = join(hierarchy, directory.slice(directory.lastIndexOf('/') + 1));
    await mkdir(group);
    onTestFinished(() => removeGroups(group));
    const namespaces = ['--mount', '--pid', '--uts', '--ipc', '--cgroup', '--fork', '--kill-child'];
    const script = join(import.meta.dirname, 'boot-systemd.sh');
    const program = new ChildProgram(
      programPath('unshare'),
      [...namespaces, script, directory, ROOT, process.execPath],
      { within: { prefix: ['sh', '-c', `echo $$ >${group}/cgroup.procs && exec "$@"`, 'sh'] } },
    );
    onTestFinished(async () => {
      program.signal('SIGKILL');
      await program.ended;
    });
    await expect.poll(() => childOf(program.pid), { timeout: 20_000 }).not.toBe('');
    const systemd = new BootedSystemd(await childOf(program.pid));
    await expect
      .poll(async () => (await systemd.run('systemctl', 'is-system-running')).stdout.trim(), {
        timeout: 30_000,
      })
      .toBe('running');
    return systemd;
  }

  /** A program inside. */
  run(...words: readonly string[]): Promise<FinishedProgram> {
    const options = [`--target=${this.#pid}`, '--mount', '--pid', '--ipc', '--uts', '--cgroup'];
    return runProgram(programPath('nsenter'), [...options, '--', ...words]);
  }

  /** @throws when it fails. @returns its standard output */
  async succeed(...words: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await this.run(...words);
    if (code !== 0) throw new Error(`${words.join(' ')}: ${code}\n${stdout}\n${stderr}`);
    return stdout;
  }
}

/** The process that `unshare --fork` made; empty: there is none yet. */
async function childOf(pid: number | undefined): Promise<string> {
  const children = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8').catch(() => '');
  return children.trim();
}

/** What systemd made is below it. */
async function removeGroups(group: string): Promise<void> {
  const inside = await readdir(group, { withFileTypes: true }).catch(() => []);
  for (const entry of inside) if (entry.isDirectory()) await removeGroups(join(group, entry.name));
  // The kernel takes a moment to see that its processes are gone.
  await expect
    .poll(
      () =>
        rmdir(group).then(
          () => true,
          (error: unknown) => String(error),
        ),
      { timeout: 10_000 },
    )
    .toBe(true);
}
