import type Database from 'better-sqlite3';
import { prepareLasting } from './lasting-database.ts';

interface ListingColumns {
  readonly items: string;
  readonly checked_at: number;
}

export type Statements = ReturnType<typeof prepareStatements>;

/** Every statement that runs against the index, prepared once, with the types of its parameters and its rows. */
export function prepareStatements(database: Database.Database) {
  const prepare = <P extends unknown[], R = unknown>(sql: string) => prepareLasting<P, R>(database, sql);
  return {
    blob: prepare<[string], { size: number }>('SELECT size FROM blobs WHERE digest = ?'),
    putBlob: prepare<[string, number, number]>(
      'INSERT OR REPLACE INTO blobs (digest, size, used_at) VALUES (?, ?, ?)',
    ),
    deleteBlob: prepare<[string], { size: number }>('DELETE FROM blobs WHERE digest = ? RETURNING size'),
    totals: prepare<[], { bytes: number; blobs: number }>(
      'SELECT coalesce(sum(size), 0) AS bytes, count(*) AS blobs FROM blobs',
    ),
    leastRecentlyUsed: prepare<[number], { digest: string; size: number }>(
      'SELECT digest, size FROM blobs ORDER BY used_at LIMIT ?',
    ),
    touch: prepare<[number, string]>('UPDATE blobs SET used_at = ? WHERE digest = ?'),

    repositoryId: prepare<[string, string], { id: number }>(
      'SELECT id FROM repositories WHERE upstream = ? AND name = ?',
    ),
    addRepository: prepare<[string, string]>('INSERT INTO repositories (upstream, name) VALUES (?, ?)'),
    holding: prepare<[number, string], { size: number; manifest_type: string | null }>(
      'SELECT size, manifest_type FROM holdings WHERE repository = ? AND digest = ?',
    ),
    putHolding: prepare<[number, string, number, string | null]>(
      `INSERT INTO holdings (repository, digest, size, manifest_type) VALUES (?, ?, ?, ?)
       ON CONFLICT (repository, digest) DO UPDATE
       SET size = excluded.size, manifest_type = coalesce(excluded.manifest_type, manifest_type)`,
    ),

    tag: prepare<[number, string, string], { digest: string; checked_at: number }>(
      'SELECT digest, checked_at FROM tags WHERE repository = ? AND tag = ? AND accept = ?',
    ),
    putTag: prepare<[number, string, string, string, number]>(
      'INSERT OR REPLACE INTO tags (repository, tag, accept, digest, checked_at) VALUES (?, ?, ?, ?, ?)',
    ),
    deleteTag: prepare<[number, string, string | null]>(
      'DELETE FROM tags WHERE repository = ? AND tag = ? AND accept = coalesce(?, accept)',
    ),
    knownTags: prepare<[number], { tag: string }>(
      'SELECT DISTINCT tag FROM tags WHERE repository = ? ORDER BY tag',
    ),

    tagList: prepare<[number], ListingColumns>(
      'SELECT items, checked_at FROM tag_lists WHERE repository = ?',
    ),
    putTagList: prepare<[number, string, number]>(
      'INSERT OR REPLACE INTO tag_lists (repository, items, checked_at) VALUES (?, ?, ?)',
    ),
    deleteTagList: prepare<[number]>('DELETE FROM tag_lists WHERE repository = ?'),
    referrers: prepare<[number, string], ListingColumns>(
      'SELECT items, checked_at FROM referrers WHERE repository = ? AND subject = ?',
    ),
    putReferrers: prepare<[number, string, string, number]>(
      'INSERT OR REPLACE INTO referrers (repository, subject, items, checked_at) VALUES (?, ?, ?, ?)',
    ),
    deleteReferrers: prepare<[number, string]>('DELETE FROM referrers WHERE repository = ? AND subject = ?'),

    writeProbe: prepare<[number]>('INSERT OR REPLACE INTO probe (id, value) VALUES (1, ?)'),
    readProbe: prepare<[], { value: number }>('SELECT value FROM probe WHERE id = 1'),
  };
}
