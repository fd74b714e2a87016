import { copyFile, mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { loadConfig } from '../../src/config.ts';
import { runProgram, succeed } from '../support/child-program.ts';
import { describeWith, programPath } from '../support/programs.ts';
import { tempDir } from '../support/temp-dir.ts';
import { allowedSystemCalls, SYSTEMD, UNIT, unitSettings } from './unit-file.ts';

/** What systemd-analyze may find at most, of 100. */
const EXPOSURE_LIMIT = 12;

describeWith({ programs: ['systemd-analyze'] }, 'the unit of systemd', () => {
  it('is one that systemd takes, with nothing to say against it', async () => {
    const { code, stdout, stderr } = await runProgram(programPath('systemd-analyze'), ['verify', UNIT]);
    expect({ code, stdout, stderr }).toEqual({ code: 0, stdout: '', stderr: '' });
  });

  it('is as confined as systemd measures it: 1.2 of 10 at most', async () => {
    const options = ['--no-pager', 'security', '--offline=true', `--threshold=${EXPOSURE_LIMIT}`, UNIT];
    const { code, stdout } = await runProgram(programPath('systemd-analyze'), options);
    expect(stdout).toMatch(/Overall exposure level for entrepot\.service: 1\.[0-2] OK/);
    expect(code, stdout).toBe(0);
  });

  it('allows what Node needs: code written at run time, threads, and no more than the calls of a service', async () => {
    // V8 cannot run without it.
    expect(await unitSettings('MemoryDenyWriteExecute')).toEqual([]);
    const calls = await allowedSystemCalls();
    expect(calls).toEqual(
      expect.arrayContaining([
        'mprotect',
        'mmap',
        'clone3',
        'futex',
        'epoll_wait',
        'fsync',
        'statfs',
        'kill',
      ]),
    );
    for (const call of ['mount', 'setuid', 'ptrace', 'init_module', 'bpf', 'reboot', 'setpriority'])
      expect(calls).not.toContain(call);
  });
});

describe('what the unit runs', () => {
  it('is stopped within its grace, reloaded only with a sound configuration, and not begun again with a wrong one', async () => {
    const [check, signal] = await unitSettings('ExecReload');
    expect(check).toMatch(/ check$/);
    expect(signal).toBe("/bin/sh -c 'kill -HUP $MAINPID'");
    expect(await unitSettings('RestartPreventExitStatus')).toEqual(['2']);
    const { shutdownGraceMs } = loadConfig({
      file: join(SYSTEMD, 'config.yaml'),
      environment: {},
      workingDir: '/',
    });
    const [stop = ''] = await unitSettings('TimeoutStopSec');
    expect(1000 * Number.parseInt(stop, 10)).toBeGreaterThan(shutdownGraceMs + 10_000);
  });

  it('has a configuration that is sound, in the directory that it may write', async () => {
    const config = loadConfig({
      file: join(SYSTEMD, 'config.yaml'),
      environment: {},
      workingDir: '/',
    });
    const [state] = await unitSettings('StateDirectory');
    expect(config.dataDir).toBe(`/var/lib/${state}`);
    expect((await unitSettings('Environment')).join(' ')).toContain(
      'ENTREPOT_CONFIG=/etc/entrepot/config.yaml',
    );
  });
});

describeWith(
  { programs: ['systemd-sysusers', 'systemd-tmpfiles'], root: true },
  'the user and the directories for the unit',
  () => {
    it('are made by systemd on an empty machine, and secrets are readable for root and the cache alone', async () => {
      const root = await tempDir();
      for (const [place, name] of [
        ['sysusers.d', 'entrepot.sysusers.conf'],
        ['tmpfiles.d', 'entrepot.tmpfiles.conf'],
      ] as const) {
        await mkdir(join(root, 'etc', place), { recursive: true });
        await copyFile(join(SYSTEMD, name), join(root, 'etc', place, 'entrepot.conf'));
      }
      await succeed(programPath('systemd-sysusers'), [`--root=${root}`]);
      const passwd = await readFile(join(root, 'etc', 'passwd'), 'utf8');
      const [, uid, gid] = /^entrepot:x:(\d+):(\d+):.*:\/var\/lib\/entrepot:\S*nologin$/m.exec(passwd) ?? [];
      expect([uid, gid]).not.toContain(undefined);

      await mkdir(join(root, 'etc', 'entrepot'));
      await writeFile(join(root, 'etc', 'entrepot', 'admin-token'), 'x', { mode: 0o644 });
      await succeed(programPath('systemd-tmpfiles'), [`--root=${root}`, '--create', 'entrepot.conf']);
      const facts = async (path: string) => {
        const { mode, uid: owner, gid: group } = await stat(join(root, path));
        return [(mode & 0o777).toString(8), owner, group];
      };
      expect(await facts('etc/entrepot')).toEqual(['750', 0, Number(gid)]);
      expect(await facts('etc/entrepot/admin-token')).toEqual(['640', 0, Number(gid)]);
      expect(await facts('var/lib/entrepot')).toEqual(['750', Number(uid), Number(gid)]);
    });
  },
);
