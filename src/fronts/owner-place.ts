import { createHash } from 'node:crypto';
import { lstat, mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { StartError } from '../start-error.ts';

/** The names of sockets are this long at most on Linux, with a zero at their end (unix(7)); a little shorter elsewhere. */
const PATH_LIMIT_BYTES = 103;
/** The longest name of a socket in it. */
const LONGEST_NAME = '123456/front-999999-31.sock';
const PREFIX = 'fronts-';
const SYSTEM_TEMPORARY = '/tmp';

/** A directory of our own, where owner and fronts meet: only this user may enter it. */
export class OwnerPlace {
  readonly #directory: string;

  /**
   * Below the data directory, which this process has for itself. Where that is too deep for sockets, or full, among the
   * system's temporary files, under a name that tells the data directory. What processes that were killed left at either
   * is removed.
   * @throws StartError
   */
  static async open(dataDir: string): Promise<OwnerPlace> {
    const prefix = await temporaryPrefix(dataDir);
    const others = [...new Set([tmpdir(), SYSTEM_TEMPORARY])].map((dir) => ({ dir, prefix }));
    const candidates = [{ dir: dataDir, prefix: PREFIX }, ...others];
    for (const { dir, prefix: begins } of candidates) await sweep(dir, begins);
    let cause: unknown;
    for (const { dir, prefix: begins } of candidates) {
      const path = join(dir, begins);
      // Longer names would be cut off in silence.
      if (Buffer.byteLength(`${path}${LONGEST_NAME}`) > PATH_LIMIT_BYTES) continue;
      try {
        // Made with 0700.
        return new OwnerPlace(await mkdtemp(path));
      } catch (error) {
        // The next one may do.
        cause ??= error;
      }
    }
    const tried = candidates.map(({ dir }) => dir).join(', ');
    throw new StartError(`There is no place for the sockets of workers, which need short names: ${tried}.`, {
      cause,
    });
  }

  private constructor(directory: string) {
    this.#directory = directory;
  }

  /** Where the owner takes requests. */
  get ownerPath(): string {
    return join(this.#directory, 'owner.sock');
  }

  /** A name for a listener of a front. @param front how many fronts there were before */
  listenerPath(front: number, listener: number): string {
    return join(this.#directory, `front-${front}-${listener}.sock`);
  }

  async close(): Promise<void> {
    await rm(this.#directory, { recursive: true, force: true });
  }
}

/** Another one for each data directory: who has that for himself has these too. Containers may share `/tmp`, not this. */
async function temporaryPrefix(dataDir: string): Promise<string> {
  const { dev, ino } = await stat(dataDir);
  const hash = createHash('sha256').update(`${dev} ${ino}`).digest('hex');
  return `entrepot-${PREFIX}${hash.slice(0, 8)}-`;
}

/** What stays because it cannot be removed harms nobody. */
async function sweep(dir: string, prefix: string): Promise<void> {
  try {
    for (const name of await readdir(dir)) {
      const path = join(dir, name);
      if (name.startsWith(prefix) && (await isOurs(path))) await rm(path, { recursive: true, force: true });
    }
  } catch {
    return;
  }
}

/** Among temporary files everybody may make such a name. */
async function isOurs(path: string): Promise<boolean> {
  const facts = await lstat(path);
  return facts.isDirectory() && facts.uid === process.getuid?.();
}
