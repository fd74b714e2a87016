import { existsSync } from 'node:fs';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { openLasting } from './lasting-database.ts';
import { MetadataError } from './metadata-error.ts';

/**
 * The exclusive lock on a data directory: an open transaction on a database of its own. The operating system drops it
 * with the process, however that ends, so there is no stale lock to clean up.
 */
export class DataDirectoryLock {
  readonly #database: Database.Database;

  /** @throws MetadataError `in-use` when another process holds it; `failed` when the directory cannot be written. */
  static acquire(dataDir: string): DataDirectoryLock {
    let database: Database.Database | undefined;
    try {
      database = openLasting(lockFile(dataDir), { timeout: 0 });
      database.exec('PRAGMA locking_mode = EXCLUSIVE');
      // Nothing is ever committed, and a journal on disk would need room: a full disk must not keep us from starting.
      database.exec('PRAGMA journal_mode = MEMORY');
      database.exec('BEGIN EXCLUSIVE');
      return new DataDirectoryLock(database);
    } catch (cause) {
      database?.close();
      const isBusy = cause instanceof Database.SqliteError && cause.code.startsWith('SQLITE_BUSY');
      throw new MetadataError(
        isBusy ? 'in-use' : 'failed',
        isBusy ? 'another process is using it' : 'its lock file cannot be written',
        { cause },
      );
    }
  }

  /** Whether somebody holds it now. It makes no lock file; of one that cannot be used `acquire` tells more. */
  static isHeld(dataDir: string): boolean {
    try {
      if (existsSync(lockFile(dataDir))) DataDirectoryLock.acquire(dataDir).release();
      return false;
    } catch (error) {
      if (error instanceof MetadataError) return error.reason === 'in-use';
      throw error;
    }
  }

  private constructor(database: Database.Database) {
    this.#database = database;
  }

  release(): void {
    this.#database.close();
  }
}

function lockFile(dataDir: string): string {
  return join(dataDir, 'entrepot.lock');
}
