import { execFile } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { beforeAll, expect, it, onTestFinished } from 'vitest';
import { BENCH_ROOT, builtBench } from '../support/built-bench.ts';
import { ChildProgram } from '../support/child-program.ts';
import { describeWith } from '../support/programs.ts';
import { tempDir } from '../support/temp-dir.ts';

/** The real bench as a child, ended in the middle of its work. */

const OUT_DIR = '.bench/interruption-test';
const PATIENCE_MS = 60_000;
const MARK = 'INTERRUPTION_TEST';

describeWith({ programs: ['nginx', 'docker-registry', 'wrk', 'curl'] }, 'a bench that is ended', () => {
  beforeAll(async () => {
    await builtBench(OUT_DIR);
  }, PATIENCE_MS);

  it.each([
    // 128 and the signal's number, as shells tell of it.
    ['SIGINT', 'idle', 'entry.cjs', 130],
    ['SIGTERM', 'wide-area', 'line-relay-child', 143],
    ['SIGHUP', 'scale', 'large-store-child', 129],
  ] as const)(
    'by %s during %s leaves no process and no directory',
    async (signal, scenario, program, code) => {
      const bench = await started('--quick', '--only', scenario);
      // The first of them may end before the second look; the bench itself is one more.
      await expect.poll(() => bench.commands().join('\n'), { timeout: PATIENCE_MS }).toContain(program);
      expect(bench.directories()).not.toHaveLength(0);
      bench.program.signal(signal);
      expect(await bench.program.ended).toEqual({ code, signal: null });
      expect(bench.commands()).toEqual([]);
      expect(bench.directories()).toEqual([]);
    },
    2 * PATIENCE_MS,
  );

  it(
    'by its own time limit leaves no process and no directory',
    async () => {
      const bench = await started('--quick', '--only', 'idle', '--minutes', '0.05');
      expect(await bench.program.ended).toEqual({ code: 1, signal: null });
      expect(bench.program.stdout).toContain('the bench took too long');
      expect(bench.commands()).toEqual([]);
      expect(bench.directories()).toEqual([]);
    },
    PATIENCE_MS,
  );

  it(
    'by a fault of its upstream says so, and leaves no process and no directory',
    async () => {
      const bench = await started('--quick', '--only', 'wide-area');
      const nginx = () => bench.processes().find(({ command }) => command.includes('nginx.conf'));
      await expect.poll(nginx, { timeout: PATIENCE_MS }).toBeDefined();
      await expect.poll(() => bench.commands().join('\n'), { timeout: PATIENCE_MS }).toContain('entry.cjs');
      process.kill(nginx()?.pid ?? Number.NaN, 'SIGKILL');
      expect(await bench.program.ended).toEqual({ code: 1, signal: null });
      expect(bench.program.stdout).toMatch(/^ {2}failed: /m);
      expect(bench.commands()).toEqual([]);
      expect(bench.directories()).toEqual([]);
    },
    2 * PATIENCE_MS,
  );

  it(
    'on a machine that is too small for a workload says what it lacks, and starts nothing',
    async () => {
      const script = `ulimit -n 300; exec "$0" "$@"`;
      const args = [process.execPath, join(OUT_DIR, 'test/bench/main.js'), '--quick', '--only', 'pulls-200'];
      const { stdout } = await promisify(execFile)('sh', ['-c', script, ...args], { cwd: BENCH_ROOT });
      expect(stdout).toContain('skipped: this machine is too small: it needs 800 open files');
    },
    PATIENCE_MS,
  );
});

async function started(...args: readonly string[]) {
  const directory = await tempDir();
  const mark = `${MARK}=${directory}`;
  const program = new ChildProgram(process.execPath, [join(OUT_DIR, 'test/bench/main.js'), ...args], {
    environment: { ...process.env, TMPDIR: directory, [MARK]: directory },
    workingDir: BENCH_ROOT,
  });
  const processes = () =>
    readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .filter((pid) => textOf(`/proc/${pid}/environ`).split('\0').includes(mark))
      .map((pid) => ({ pid: Number(pid), command: textOf(`/proc/${pid}/cmdline`).replaceAll('\0', ' ') }));
  const before = readdirSync('/dev/shm');
  onTestFinished(async () => {
    program.signal('SIGKILL');
    await program.ended;
    for (const { pid } of processes()) process.kill(pid, 'SIGKILL');
  });
  return {
    program,
    processes,
    commands: () => processes().map(({ command }) => command),
    directories: () => [
      ...readdirSync(directory).filter((name) => name.startsWith('entrepot-bench-')),
      // Others may run a bench beside this one.
      ...readdirSync('/dev/shm').filter(
        (name) => name.startsWith(`entrepot-bench-${program.pid}-`) && !before.includes(name),
      ),
    ],
  };
}

function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
