import { existsSync, renameSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import Database from 'better-sqlite3';
import { openLasting, prepareLasting } from './lasting-database.ts';
import { MetadataError } from './metadata-error.ts';
import { MIGRATIONS } from './migrations.ts';
import { PinCopy } from './pin-copy.ts';
import { prepareStatements } from './statements.ts';

/** The first SQLite without the WAL-reset bug. */
const SQLITE_FLOOR = [3, 51, 3] as const;
const BUSY_TIMEOUT_MS = 5000;
const FILE = 'metadata.db';
const PINS_FILE = 'pins.json';

export interface DatabaseOptions {
  /** Whether a write-ahead log may be used where the file lies. Otherwise a rollback journal is, which is slower. */
  readonly isWalSafe: boolean;
}

export interface OpenedDatabase {
  readonly database: Database.Database;
  /** Where a damaged database was moved, when there was one: the index then begins empty. */
  readonly setAside: string | undefined;
  /** `PRAGMA synchronous` at which a power cut does it no harm: less is needed with a write-ahead log. */
  readonly synchronous: 'NORMAL' | 'FULL';
  readonly pinCopy: PinCopy;
  /** Closes it, moves it aside, and opens an empty one: for damage that was found while it was used. @throws MetadataError */
  beginAnew(): OpenedDatabase;
}

/**
 * Opens `metadata.db` below `dataDir`, brings it up to date, and checks it. The caller holds the directory's lock. A
 * damaged one is moved aside, never deleted: the index is a hint, and losing it only forgets what is cached.
 * @throws MetadataError `newer`, `failed`
 */
export function openDatabase(
  dataDir: string,
  options: DatabaseOptions = { isWalSafe: true },
): OpenedDatabase {
  const path = join(dataDir, FILE);
  try {
    return opened(path, options, undefined);
  } catch (error) {
    if (!(error instanceof MetadataError) || error.reason !== 'damaged') throw error;
    return opened(path, options, moveAside(path));
  }
}

function opened(path: string, options: DatabaseOptions, setAside: string | undefined): OpenedDatabase {
  const { database, synchronous } = open(path, options);
  const beginAnew = () => {
    database.close();
    return opened(path, options, moveAside(path));
  };
  const pinCopy = new PinCopy(join(dirname(path), PINS_FILE));
  return { database, synchronous, setAside, pinCopy, beginAnew };
}

function open(
  path: string,
  { isWalSafe }: DatabaseOptions,
): Pick<OpenedDatabase, 'database' | 'synchronous'> {
  let database: Database.Database | undefined;
  try {
    database = openLasting(path, { timeout: BUSY_TIMEOUT_MS });
    // Before anything is read: only then is the log's index kept in memory, and not in a shared file, which network file
    // systems cannot keep and a full disk cannot take.
    database.exec('PRAGMA locking_mode = EXCLUSIVE');
    assertVersion(database);
    // What it answers is what it does: where no log can be kept it goes on with a journal, which needs more syncs.
    const mode = read(database, `PRAGMA journal_mode = ${isWalSafe ? 'WAL' : 'DELETE'}`);
    const synchronous = mode === 'wal' ? 'NORMAL' : 'FULL';
    database.exec(`PRAGMA synchronous = ${synchronous}`);
    // 32 MiB of pages, and a log that is cut back after a burst: neither grows with the number of blobs.
    database.exec('PRAGMA cache_size = -32768');
    database.exec('PRAGMA journal_size_limit = 67108864');
    database.exec('PRAGMA foreign_keys = ON');
    database.exec('PRAGMA trusted_schema = OFF');
    if (read(database, 'PRAGMA quick_check(1)') !== 'ok') {
      throw new MetadataError('damaged', 'the index fails its check');
    }
    bringUpToDate(database);
    return { database, synchronous };
  } catch (cause) {
    database?.close();
    throw translated(cause);
  }
}

/** The first column of the first row. */
function read(database: Database.Database, sql: string): unknown {
  return prepareLasting<[]>(database, sql).pluck().get();
}

function assertVersion(database: Database.Database): void {
  const version = String(read(database, 'SELECT sqlite_version()'));
  const parts = version.split('.').map(Number);
  const differing = SQLITE_FLOOR.findIndex((floor, at) => parts[at] !== floor);
  if (differing >= 0 && (parts[differing] ?? 0) < (SQLITE_FLOOR[differing] ?? 0)) {
    throw new MetadataError('failed', `SQLite ${version} is too old: ${SQLITE_FLOOR.join('.')} is the least`);
  }
}

/** What is a sound database and not our index is of no more use than a damaged one: it must not keep us from starting. */
function bringUpToDate(database: Database.Database): void {
  try {
    migrate(database);
    // Names every table and column that there has to be.
    prepareStatements(database);
  } catch (cause) {
    const isOther = cause instanceof Database.SqliteError && cause.code === 'SQLITE_ERROR';
    throw isOther
      ? new MetadataError('damaged', 'the index has other tables than it should', { cause })
      : cause;
  }
}

function migrate(database: Database.Database): void {
  const version = Number(read(database, 'PRAGMA user_version'));
  if (version > MIGRATIONS.length) {
    throw new MetadataError(
      'newer',
      `the index has format ${version}, this entrepot knows ${MIGRATIONS.length}`,
    );
  }
  if (version < 0) throw new MetadataError('damaged', `the index has format ${version}`);
  if (version === MIGRATIONS.length) return;
  database.transaction(() => {
    for (const sql of MIGRATIONS.slice(version)) database.exec(sql);
    database.exec(`PRAGMA user_version = ${MIGRATIONS.length}`);
  })();
}

function moveAside(path: string): string {
  const suffix = `.damaged-${new Date().toISOString().replaceAll(':', '-')}`;
  for (const ending of ['', '-wal', '-shm', '-journal']) {
    if (existsSync(path + ending)) renameSync(path + ending, path + suffix + ending);
  }
  return path + suffix;
}

/** What the index takes of the disk. */
export async function indexBytes(dataDir: string): Promise<number> {
  return (await indexFiles(dataDir)).bytes;
}

/** What the index takes of the disk, and what its write-ahead log takes of that. */
export async function indexFiles(
  dataDir: string,
): Promise<{ readonly bytes: number; readonly walBytes: number }> {
  const sizeOf = async (ending: string): Promise<number> => {
    const facts = await stat(join(dataDir, FILE + ending)).catch(() => undefined);
    return facts?.size ?? 0;
  };
  const [main, walBytes, journal] = await Promise.all([sizeOf(''), sizeOf('-wal'), sizeOf('-journal')]);
  return { bytes: main + walBytes + journal, walBytes };
}

/** Whether it failed because there is no room for it. */
export function isDiskFull(cause: unknown): boolean {
  return cause instanceof Database.SqliteError && cause.code === 'SQLITE_FULL';
}

/**
 * What of an index that nobody has open is pinned, as of when it was last looked up; for who must change nothing, not
 * even a format. `undefined` when that cannot be told so: it is open, was not closed, is older, or is not there.
 */
export function readPinnedBytes(dataDir: string): number | undefined {
  const path = join(dataDir, FILE);
  // Who reads a log that was left behind makes files.
  if (!existsSync(path) || existsSync(`${path}-wal`) || existsSync(`${path}-journal`)) return undefined;
  let database: Database.Database | undefined;
  try {
    // Not read-only: that would leave the files of a write-ahead log behind. A server that starts meanwhile waits for it.
    database = openLasting(path, { fileMustExist: true, timeout: 0 });
    database.exec('PRAGMA locking_mode = EXCLUSIVE');
    const sql = 'SELECT coalesce(sum(b.size), 0) FROM pinned p JOIN blobs b ON b.content = p.content';
    return Number(read(database, sql));
  } catch {
    return undefined;
  } finally {
    database?.close();
  }
}

/** Every failure of the database as a MetadataError. */
export function translated(cause: unknown): MetadataError {
  if (cause instanceof MetadataError) return cause;
  const code = cause instanceof Database.SqliteError ? cause.code : undefined;
  const isDamaged = code !== undefined && /^SQLITE_(?:CORRUPT|NOTADB)/.test(code);
  if (isDiskFull(cause)) return new MetadataError('full', 'the index has no room on the disk', { cause });
  return new MetadataError(isDamaged ? 'damaged' : 'failed', `the index failed: ${code ?? 'unknown'}`, {
    cause,
  });
}
