import type Database from 'better-sqlite3';
import { prepareLasting } from './lasting-database.ts';

/** Statements that take out of the index what nothing stored needs. */
export function prepareForgettingStatements(database: Database.Database) {
  const prepare = <P extends unknown[], R = unknown>(sql: string) => prepareLasting<P, R>(database, sql);
  return {
    lastContent: prepare<[], { id: number | null }>('SELECT max(id) AS id FROM contents'),
    contentNumber: prepare<[{ after: number; until: number; offset: number }], { id: number }>(
      'SELECT id FROM contents WHERE id > @after AND id <= @until ORDER BY id LIMIT 1 OFFSET @offset',
    ),
    /** Not stored, not pinned, listed by nothing that is stored, and not asked about since. */
    forgettable: prepare<[{ after: number; until: number; before: number }], { id: number }>(
      `SELECT c.id FROM contents c WHERE c.id > @after AND c.id <= @until
       AND NOT EXISTS (SELECT 1 FROM blobs b WHERE b.content = c.id)
       AND NOT EXISTS (SELECT 1 FROM pinned p WHERE p.content = c.id)
       AND NOT EXISTS (SELECT 1 FROM links l JOIN blobs b ON b.content = l.parent WHERE l.child = c.id)
       AND NOT EXISTS (SELECT 1 FROM tags t WHERE t.content = c.id AND t.checked_at >= @before)
       AND NOT EXISTS (SELECT 1 FROM referrers r WHERE r.subject = c.id AND r.checked_at >= @before)`,
    ),
    deleteHoldingsOf: prepare<[number]>('DELETE FROM holdings WHERE content = ?'),
    deleteEveryTagOf: prepare<[number]>('DELETE FROM tags WHERE content = ?'),
    deleteReferrersOf: prepare<[number]>('DELETE FROM referrers WHERE subject = ?'),
    /** What a manifest that is not stored lists comes after it, or in the next round. */
    deleteContent: prepare<[number]>(
      'DELETE FROM contents WHERE id = ? AND NOT EXISTS (SELECT 1 FROM links l WHERE l.child = contents.id)',
    ),
    emptyRepositories: prepare<
      [{ after: number; until: number; before: number }],
      { id: number; upstream: string; name: string }
    >(
      `SELECT id, upstream, name FROM repositories r WHERE id > @after AND id <= @until
       AND NOT EXISTS (SELECT 1 FROM holdings h WHERE h.repository = r.id)
       AND NOT EXISTS (SELECT 1 FROM tags t WHERE t.repository = r.id)
       AND NOT EXISTS (SELECT 1 FROM referrers f WHERE f.repository = r.id)
       AND NOT EXISTS (SELECT 1 FROM tag_lists l WHERE l.repository = r.id AND l.checked_at >= @before)`,
    ),
  };
}
