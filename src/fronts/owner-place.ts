import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { StartError } from '../start-error.ts';

/** The names of sockets are this long at most on Linux, with a zero at their end (unix(7)); a little shorter elsewhere. */
const PATH_LIMIT_BYTES = 103;
/** The longest name of a socket in it. */
const LONGEST_NAME = '123456/front-999999-31.sock';
const PREFIX = 'fronts-';

/** A directory of our own, where owner and fronts meet: only this user may enter it. */
export class OwnerPlace {
  readonly #directory: string;

  /**
   * Below the data directory, which this process has for itself. Where that is too deep for sockets, or full, among the
   * system's temporary files.
   * @throws StartError
   */
  static async open(dataDir: string): Promise<OwnerPlace> {
    const within = join(dataDir, PREFIX);
    try {
      // Of a process that was killed.
      for (const name of await readdir(dataDir))
        if (name.startsWith(PREFIX)) await rm(join(dataDir, name), { recursive: true, force: true });
      // Made with 0700.
      if (Buffer.byteLength(`${within}${LONGEST_NAME}`) <= PATH_LIMIT_BYTES)
        return new OwnerPlace(await mkdtemp(within));
    } catch {
      // The other place may do.
    }
    try {
      return new OwnerPlace(await mkdtemp(join(tmpdir(), `entrepot-${PREFIX}`)));
    } catch (cause) {
      throw new StartError(
        `There is no place for the sockets of workers: neither ${dataDir} nor ${tmpdir()}.`,
        {
          cause,
        },
      );
    }
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
