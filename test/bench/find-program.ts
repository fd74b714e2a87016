import { execFile } from 'node:child_process';
import { access, constants } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

/** Where system daemons are, which a user's PATH often leaves out. */
const SYSTEM_DIRECTORIES = ['/usr/local/sbin', '/usr/sbin', '/sbin'];
const VERSION_LIMIT_MS = 10_000;

/** The path of an installed program; `undefined` when there is none. */
export async function findProgram(name: string): Promise<string | undefined> {
  for (const directory of [...(process.env['PATH'] ?? '').split(':'), ...SYSTEM_DIRECTORIES]) {
    const path = join(directory, name);
    if (await isExecutable(path)) return path;
  }
  return undefined;
}

export async function isExecutable(path: string): Promise<boolean> {
  return access(path, constants.X_OK).then(
    () => true,
    () => false,
  );
}

/** The first line that it prints about itself; what went wrong when it prints none. */
export async function versionOf(file: string, ...args: readonly string[]): Promise<string> {
  try {
    const { stdout, stderr } = await promisify(execFile)(file, args, { timeout: VERSION_LIMIT_MS });
    const [line = ''] = (stdout + stderr).trim().split('\n');
    // Some begin with the path that they were called by.
    return line.replace(`${file} `, '');
  } catch (error) {
    return `unknown (${String(error)})`;
  }
}
