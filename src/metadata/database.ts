import { existsSync, renameSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { openLasting, prepareLasting } from './lasting-database.ts';
import { MetadataError } from './metadata-error.ts';
import { MIGRATIONS } from './migrations.ts';
import { prepareStatements } from './statements.ts';

/** The first SQLite without the WAL-reset bug. */
const SQLITE_FLOOR = [3, 51, 3] as const;
const BUSY_TIMEOUT_MS = 5000;
const FILE = 'metadata.db';

export interface OpenedDatabase {
  readonly database: Database.Database;
  /** Where a damaged database was moved, when there was one: the index then begins empty. */
  readonly setAside: string | undefined;
  /** Closes it, moves it aside, and opens an empty one: for damage that was found while it was used. @throws MetadataError */
  beginAnew(): OpenedDatabase;
}

/**
 * Opens `metadata.db` below `dataDir`, brings it up to date, and checks it. The caller holds the directory's lock. A
 * damaged one is moved aside, never deleted: the index is a hint, and losing it only forgets what is cached.
 * @throws MetadataError `newer`, `failed`
 */
export function openDatabase(dataDir: string): OpenedDatabase {
  const path = join(dataDir, FILE);
  try {
    return opened(path, undefined);
  } catch (error) {
    if (!(error instanceof MetadataError) || error.reason !== 'damaged') throw error;
    return opened(path, moveAside(path));
  }
}

function opened(path: string, setAside: string | undefined): OpenedDatabase {
  const database = open(path);
  const beginAnew = () => {
    database.close();
    return opened(path, moveAside(path));
  };
  return { database, setAside, beginAnew };
}

function open(path: string): Database.Database {
  let database: Database.Database | undefined;
  try {
    database = openLasting(path, { timeout: BUSY_TIMEOUT_MS });
    assertVersion(database);
    // Exclusive mode keeps the WAL's index in memory: no shared-memory file, which network file systems cannot keep.
    database.exec('PRAGMA locking_mode = EXCLUSIVE');
    database.exec('PRAGMA journal_mode = WAL');
    database.exec('PRAGMA synchronous = NORMAL');
    // 32 MiB of pages, and a log that is cut back after a burst: neither grows with the number of blobs.
    database.exec('PRAGMA cache_size = -32768');
    database.exec('PRAGMA journal_size_limit = 67108864');
    database.exec('PRAGMA foreign_keys = ON');
    database.exec('PRAGMA trusted_schema = OFF');
    if (read(database, 'PRAGMA quick_check(1)') !== 'ok') {
      throw new MetadataError('damaged', 'the index fails its check');
    }
    bringUpToDate(database);
    return database;
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
  const sizes = ['', '-wal', '-journal'].map(async (ending) => {
    const facts = await stat(join(dataDir, FILE + ending)).catch(() => undefined);
    return facts?.size ?? 0;
  });
  return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0);
}

/** Every failure of the database as a MetadataError. */
export function translated(cause: unknown): MetadataError {
  if (cause instanceof MetadataError) return cause;
  const code = cause instanceof Database.SqliteError ? cause.code : undefined;
  const isDamaged = code !== undefined && /^SQLITE_(?:CORRUPT|NOTADB)/.test(code);
  return new MetadataError(isDamaged ? 'damaged' : 'failed', `the index failed: ${code ?? 'unknown'}`, {
    cause,
  });
}
