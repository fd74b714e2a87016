import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/**
 * Who may bring images to a server whose admin listener asks for no token: who may read its data directory. Everybody on
 * the machine reaches a loopback address, and what is imported is served as if its upstream had sent it.
 */
const FILE = 'import.key';

/**
 * A new one for this run of the server, for its user alone to read.
 * @param onFailure told why nobody can read it: a full disk keeps nobody from pulling
 */
export async function makeImportKey(dataDir: string, onFailure: (cause: unknown) => void): Promise<string> {
  const key = randomBytes(32).toString('base64url');
  const temporary = join(dataDir, `${FILE}.new`);
  try {
    await rm(temporary, { force: true });
    await writeFile(temporary, `${key}\n`, { mode: 0o600, flag: 'wx' });
    await rename(temporary, join(dataDir, FILE));
  } catch (cause) {
    onFailure(cause);
  }
  return key;
}

/** That of the server that holds the directory. `undefined` when there is none, or it may not be read. */
export function readImportKey(dataDir: string): string | undefined {
  try {
    return readFileSync(join(dataDir, FILE), 'utf8').trim();
  } catch {
    return undefined;
  }
}
