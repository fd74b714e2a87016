import type Database from 'better-sqlite3';
import { prepareLasting } from './lasting-database.ts';

interface ListingColumns {
  readonly items: string;
  readonly checked_at: number;
}

/** Statements on what repositories hold, and on what upstreams said of them. */
export function prepareRepositoryStatements(database: Database.Database) {
  const prepare = <P extends unknown[], R = unknown>(sql: string) => prepareLasting<P, R>(database, sql);
  return {
    repositoryId: prepare<[string, string], { id: number }>(
      'SELECT id FROM repositories WHERE upstream = ? AND name = ?',
    ),
    addRepository: prepare<[string, string]>('INSERT INTO repositories (upstream, name) VALUES (?, ?)'),
    holding: prepare<[number, Buffer], { size: number; manifest_type: string | null }>(
      `SELECT h.size, h.manifest_type FROM contents c JOIN holdings h ON h.repository = ? AND h.content = c.id
       WHERE c.digest = ?`,
    ),
    putHolding: prepare<[number, number, number, string | null]>(
      `INSERT INTO holdings (repository, content, size, manifest_type) VALUES (?, ?, ?, ?)
       ON CONFLICT (repository, content) DO UPDATE
       SET size = excluded.size, manifest_type = coalesce(excluded.manifest_type, manifest_type)`,
    ),

    tag: prepare<[number, string, string], { digest: Buffer; checked_at: number }>(
      `SELECT c.digest, t.checked_at FROM tags t JOIN contents c ON c.id = t.content
       WHERE t.repository = ? AND t.tag = ? AND t.accept = ?`,
    ),
    putTag: prepare<[number, string, string, number, number]>(
      'INSERT OR REPLACE INTO tags (repository, tag, accept, content, checked_at) VALUES (?, ?, ?, ?, ?)',
    ),
    addTagHistory: prepare<[number, string, number, Buffer]>(
      'INSERT OR REPLACE INTO tag_history (repository, tag, until, digest) VALUES (?, ?, ?, ?)',
    ),
    trimTagHistory: prepare<[{ repository: number; tag: string; limit: number }]>(
      `DELETE FROM tag_history WHERE repository = @repository AND tag = @tag AND until <= (
         SELECT until FROM tag_history WHERE repository = @repository AND tag = @tag
         ORDER BY until DESC LIMIT 1 OFFSET @limit)`,
    ),
    tagHistory: prepare<[number, string], { until: number; digest: Buffer }>(
      'SELECT until, digest FROM tag_history WHERE repository = ? AND tag = ? ORDER BY until DESC',
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
    referrers: prepare<[number, Buffer], ListingColumns>(
      `SELECT r.items, r.checked_at FROM contents c JOIN referrers r ON r.repository = ? AND r.subject = c.id
       WHERE c.digest = ?`,
    ),
    putReferrers: prepare<[number, number, string, number]>(
      'INSERT OR REPLACE INTO referrers (repository, subject, items, checked_at) VALUES (?, ?, ?, ?)',
    ),
    deleteReferrers: prepare<[number, Buffer]>(
      'DELETE FROM referrers WHERE repository = ? AND subject = (SELECT id FROM contents WHERE digest = ?)',
    ),

    writeProbe: prepare<[number]>('INSERT OR REPLACE INTO probe (id, value) VALUES (1, ?)'),
    readProbe: prepare<[], { value: number }>('SELECT value FROM probe WHERE id = 1'),
    state: prepare<[string], { value: number }>('SELECT value FROM state WHERE key = ?'),
    setState: prepare<[string, number]>('INSERT OR REPLACE INTO state (key, value) VALUES (?, ?)'),
  };
}
