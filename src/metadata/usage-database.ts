import { existsSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { translated } from './database.ts';
import { openLasting, prepareLasting } from './lasting-database.ts';
import { MetadataError } from './metadata-error.ts';

const FILE = 'usage.sqlite';
const ASIDE = '.damaged';
const ENDINGS = ['', '-wal', '-shm', '-journal'];
const BUSY_TIMEOUT_MS = 1000;

/** Forward only, as those of the index. Sums of a day (UTC, counted from 1970) each. */
const MIGRATIONS: readonly string[] = [
  `
  CREATE TABLE upstream_usage (
    day INTEGER NOT NULL,
    name TEXT NOT NULL,
    requests INTEGER NOT NULL,
    hits INTEGER NOT NULL,
    failures INTEGER NOT NULL,
    pulls INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    hit_bytes INTEGER NOT NULL,
    upstream_bytes INTEGER NOT NULL,
    upstream_pulls INTEGER NOT NULL,
    blob_hit_bytes INTEGER NOT NULL,
    blob_hit_ms REAL NOT NULL,
    blob_miss_bytes INTEGER NOT NULL,
    blob_miss_ms REAL NOT NULL,
    small_hits INTEGER NOT NULL,
    small_hit_ms REAL NOT NULL,
    small_misses INTEGER NOT NULL,
    small_miss_ms REAL NOT NULL,
    PRIMARY KEY (day, name)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE named_usage (
    day INTEGER NOT NULL,
    -- 1: an image, UPSTREAM/REPOSITORY; 2: a client. What is counted together is UPSTREAM/ and ''.
    kind INTEGER NOT NULL,
    name TEXT NOT NULL,
    requests INTEGER NOT NULL,
    hits INTEGER NOT NULL,
    failures INTEGER NOT NULL,
    pulls INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    hit_bytes INTEGER NOT NULL,
    PRIMARY KEY (day, kind, name)
  ) STRICT, WITHOUT ROWID;
  `,
];

/**
 * Opens `usage.sqlite` below `dataDir`, and brings it up to date. The caller holds the directory's lock.
 * @throws MetadataError `damaged`, `newer`, `full`, `failed`
 */
export function openUsageDatabase(dataDir: string, isWalSafe: boolean): Database.Database {
  let database: Database.Database | undefined;
  try {
    database = openLasting(join(dataDir, FILE), { timeout: BUSY_TIMEOUT_MS });
    database.exec('PRAGMA locking_mode = EXCLUSIVE');
    const mode = isWalSafe ? 'WAL' : 'DELETE';
    const isWal = prepareLasting<[]>(database, `PRAGMA journal_mode = ${mode}`).pluck().get() === 'wal';
    database.exec(`PRAGMA synchronous = ${isWal ? 'NORMAL' : 'FULL'}`);
    database.exec('PRAGMA cache_size = -4096');
    database.exec('PRAGMA journal_size_limit = 4194304');
    database.exec('PRAGMA trusted_schema = OFF');
    migrate(database);
    return database;
  } catch (cause) {
    database?.close();
    throw asDamage(cause);
  }
}

/** A sound database with other tables than ours is of no more use than a damaged one. */
export function asDamage(cause: unknown): MetadataError {
  const isOther = cause instanceof Database.SqliteError && cause.code === 'SQLITE_ERROR';
  return isOther
    ? new MetadataError('damaged', `${FILE} has other tables than it should`, { cause })
    : translated(cause);
}

function migrate(database: Database.Database): void {
  const version = Number(prepareLasting<[]>(database, 'PRAGMA user_version').pluck().get());
  if (version > MIGRATIONS.length)
    throw new MetadataError(
      'newer',
      `${FILE} has format ${version}, this entrepot knows ${MIGRATIONS.length}`,
    );
  if (version === MIGRATIONS.length) return;
  database.transaction(() => {
    for (const sql of MIGRATIONS.slice(version)) database.exec(sql);
    database.exec(`PRAGMA user_version = ${MIGRATIONS.length}`);
  })();
}

/** Out of the way, in place of what was moved there before: one is enough to look into. @returns where it is now */
export function setUsageAside(dataDir: string): string {
  const path = join(dataDir, FILE);
  for (const ending of ENDINGS) {
    rmSync(path + ASIDE + ending, { force: true });
    if (existsSync(path + ending)) renameSync(path + ending, path + ASIDE + ending);
  }
  return path + ASIDE;
}

/** Was anything ever kept? */
export function hasUsage(dataDir: string): boolean {
  return existsSync(join(dataDir, FILE));
}

/** What was kept is kept no longer. @returns whether there was any */
export function removeUsage(dataDir: string): boolean {
  const path = join(dataDir, FILE);
  const files = ['', ASIDE].flatMap((aside) => ENDINGS.map((ending) => path + aside + ending));
  const there = files.filter((file) => existsSync(file));
  for (const file of there) rmSync(file, { force: true });
  return there.length > 0;
}
