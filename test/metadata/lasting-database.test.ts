import { leastRecentUse } from '../support/least-recent-use.ts';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import Database from 'better-sqlite3';
import { expect, it, onTestFinished } from 'vitest';
import { DataDirectoryLock } from '../../src/metadata/data-directory-lock.ts';
import { openDatabase } from '../../src/metadata/database.ts';
import { openLasting } from '../../src/metadata/lasting-database.ts';
import { SqliteMetadataStore } from '../../src/metadata/sqlite-metadata-store.ts';
import { tempDir } from '../support/temp-dir.ts';
import { digestNumber } from './metadata-store-contract.ts';

// Collecting one of these ends a process of Node 24.19 or later. Here it is only counted, so that it fails everywhere.

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

/** Calls `see` after each call of a method of every database, until the running test ends. */
function watch(method: 'prepare' | 'exec' | 'pragma', see: (database: object, made: unknown) => void): void {
  const original: unknown = Reflect.get(Database.prototype, method);
  expect.assert(typeof original === 'function');
  Reflect.set(Database.prototype, method, function watched(this: object, ...given: unknown[]) {
    const made: unknown = Reflect.apply(original, this, given);
    see(this, made);
    return made;
  });
  onTestFinished(() => void Reflect.set(Database.prototype, method, original));
}

/** All that is ever done with a data directory: locked twice, opened damaged, foreign and sound, used, and closed. */
async function use(dataDir: string): Promise<void> {
  const lock = DataDirectoryLock.acquire(dataDir);
  expect(() => DataDirectoryLock.acquire(dataDir)).toThrow();
  openLasting(join(dataDir, 'metadata.db')).exec('CREATE TABLE blobs (digest TEXT)').close();
  const opened = openDatabase(dataDir);
  const { setAside } = opened;
  expect(setAside).toBeDefined();
  const store = new SqliteMetadataStore(opened, leastRecentUse);
  await store.blobs.touch(new Map([[digestNumber(1), 1]]));
  await store.probe();
  await store.close();
  lock.release();
}

it('no database and no statement is garbage, in use or closed', async () => {
  const databases: WeakRef<object>[] = [];
  const statements: WeakRef<object>[] = [];
  let pragmas = 0;
  watch('exec', (database) => void databases.push(new WeakRef(database)));
  watch('prepare', (_database, made) => void statements.push(new WeakRef(made as object)));
  watch('pragma', () => void (pragmas += 1));
  await use(await tempDir());
  for (let round = 0; round < 3; round += 1) {
    // A weak reference holds its object until the turn ends.
    await nextTurn();
    collectGarbage();
  }
  expect(databases.filter((ref) => ref.deref() === undefined)).toEqual([]);
  expect(statements.filter((ref) => ref.deref() === undefined)).toEqual([]);
  // Two locks; one that is foreign, when it was made and when it was opened; the one in its place.
  expect(new Set(databases.map((ref) => ref.deref())).size).toBe(5);
  expect(statements.length).toBeGreaterThan(20);
  expect(pragmas).toBe(0);
});
