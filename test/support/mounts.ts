import { execFile, execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { mkdir, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { onTestFinished } from 'vitest';
import { tempDir } from './temp-dir.ts';

const run = promisify(execFile);

export type MountKind = 'tmpfs' | 'loop' | 'fuse' | 'overlay';

/** Root may mount nothing in most containers, and not every kernel has every kind: it is tried. */
export function canMount(kind: MountKind): boolean {
  if (kind === 'fuse') return existsSync('/dev/fuse') && canMountTmpfs();
  if (kind === 'loop') return canMountTmpfs() && hasLoopDevice();
  if (kind === 'overlay') return canMountTrial('overlay', 'lowerdir=lower,upperdir=upper,workdir=work');
  return canMountTmpfs();
}

function hasLoopDevice(): boolean {
  try {
    execFileSync('losetup', ['--find'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

function canMountTmpfs(): boolean {
  return canMountTrial('tmpfs', 'size=1m');
}

/** `options` may name the directories lower, upper and work beside the mount point. */
function canMountTrial(type: string, options: string): boolean {
  if (process.getuid?.() !== 0) return false;
  const directory = mkdtempSync(join(tmpdir(), 'entrepot-mount-'));
  try {
    for (const name of ['at', 'lower', 'upper', 'work']) mkdirSync(join(directory, name));
    const at = join(directory, 'at');
    execFileSync('mount', ['-t', type, '-o', options, 'none', at], { cwd: directory, stdio: 'ignore' });
    execFileSync('umount', [at], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** An empty file system in memory; gone when the running test has finished. */
export async function mountedTmpfs(options: string): Promise<string> {
  return mounted((at) => run('mount', ['-t', 'tmpfs', '-o', options, 'none', at]));
}

/** An empty file system on a file of so many bytes. */
export async function mountedExt4(sizeBytes: number): Promise<string> {
  const image = join(await tempDir(), 'image');
  await writeFile(image, '');
  await truncate(image, sizeBytes);
  await run('mkfs.ext4', ['-q', '-F', '-m', '0', image]);
  return mounted((at) => run('mount', ['-o', 'loop', image, at]));
}

/** A directory seen through FUSE: whatever is done in it is done by another process. */
export async function mountedFuse(): Promise<string> {
  const below = await tempDir();
  return mounted((at) => run('bindfs', [below, at]));
}

async function mounted(mount: (at: string) => Promise<unknown>): Promise<string> {
  const at = join(await tempDir(), 'mounted');
  await mkdir(at);
  await mount(at);
  onTestFinished(async () => {
    // Lazily: who was killed in mid-call may hold it a moment longer.
    await run('umount', ['--lazy', at]);
  });
  return at;
}
