import { closeSync, existsSync, openSync } from 'node:fs';
import Database from 'better-sqlite3';

/**
 * Every database and every statement that this process has made, so that none is ever garbage.
 *
 * better-sqlite3 12 compiled against the headers of Node 24.19 or later of that line aborts the process when one of
 * them is collected while no JavaScript runs (nodejs/node#65446). better-sqlite3 13 does not, but needs Node-API 10,
 * which Node 20 lacks: this file can go when 20 is no longer supported. Until then only it makes databases and
 * statements, and nothing uses `pragma()`, `iterate()` or `backup()`, which make such objects for each call.
 *
 * It holds a few small objects for each database opened: a process opens one, and a lock. What SQLite itself holds goes
 * with `close()`.
 */
const lasting: object[] = [];

/** Opens a database; as `new Database`. One that is made is its owner's alone: it may hold names of images and clients. */
export function openLasting(path: string, options?: Database.Options): Database.Database {
  if (options?.fileMustExist !== true) makePrivate(path);
  const database = new Database(path, options);
  lasting.push(database);
  return database;
}

/** SQLite gives its journals the mode of the database. */
function makePrivate(path: string): void {
  if (path === ':memory:' || existsSync(path)) return;
  try {
    closeSync(openSync(path, 'a', 0o600));
  } catch {
    // Where it cannot be made, SQLite says so better.
  }
}

/** Prepares a statement; as `prepare`. Not for statements made again and again: they are held until the process ends. */
export function prepareLasting<P extends unknown[], R = unknown>(
  database: Database.Database,
  sql: string,
): Database.Statement<P, R> {
  const statement = database.prepare<P, R>(sql);
  lasting.push(statement);
  return statement;
}
