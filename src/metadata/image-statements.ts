import type Database from 'better-sqlite3';
import { prepareLasting } from './lasting-database.ts';

export interface ImageColumns {
  readonly content: number;
  readonly digest: Buffer;
  readonly manifest_type: string;
  readonly used_at: number;
}

const IMAGES = `SELECT h.content, c.digest, h.manifest_type, b.used_at FROM holdings h
  JOIN blobs b ON b.content = h.content JOIN contents c ON c.id = h.content
  WHERE h.repository = ? AND h.manifest_type IS NOT NULL`;

/** An image in its own right: tagged in this repository, or listed by no other stored manifest of it. */
const IS_ROOT = `(EXISTS (SELECT 1 FROM tags t WHERE t.content = h.content AND t.repository = h.repository)
  OR NOT EXISTS (SELECT 1 FROM links l JOIN holdings p ON p.content = l.parent AND p.repository = h.repository
    JOIN blobs pb ON pb.content = l.parent WHERE l.child = h.content))`;

const CLOSURE = `closure (id) AS (
  SELECT @root UNION SELECT links.child FROM links JOIN closure ON links.parent = closure.id)`;

/** Of a closure, what something outside of it uses as well: another manifest, or a tag of its own. */
function sharedIn(inRepository: boolean): string {
  const held = inRepository
    ? 'JOIN holdings held ON held.content = l.parent AND held.repository = @repository'
    : 'JOIN blobs held ON held.content = l.parent';
  const tagged = inRepository ? 'AND t.repository = @repository' : '';
  return `shared (id) AS (
    SELECT k.id FROM closure k WHERE k.id <> @root AND (
      EXISTS (SELECT 1 FROM links l ${held} WHERE l.child = k.id AND l.parent NOT IN (SELECT id FROM closure))
      OR EXISTS (SELECT 1 FROM tags t WHERE t.content = k.id ${tagged}))
    UNION SELECT links.child FROM links JOIN shared ON links.parent = shared.id)`;
}

/** Statements on images: lists, sizes, forgetting, pins. */
export function prepareImageStatements(database: Database.Database) {
  const prepare = <P extends unknown[], R = unknown>(sql: string) => prepareLasting<P, R>(database, sql);
  return {
    repositories: prepare<
      [{ upstream: string | null; name: string | null; after: number; limit: number }],
      { id: number; upstream: string; name: string }
    >(
      `SELECT id, upstream, name FROM repositories WHERE id > @after
       AND upstream = coalesce(@upstream, upstream) AND name = coalesce(@name, name) ORDER BY id LIMIT @limit`,
    ),
    images: prepare<[number, number, number], ImageColumns>(
      `${IMAGES} AND h.content > ? AND ${IS_ROOT} ORDER BY h.content LIMIT ?`,
    ),
    imageOfDigest: prepare<[number, Buffer], ImageColumns>(`${IMAGES} AND c.digest = ?`),
    tagContents: prepare<[number, string], { content: number; digest: Buffer }>(
      `SELECT t.content, c.digest FROM tags t JOIN contents c ON c.id = t.content
       WHERE t.repository = ? AND t.tag = ? ORDER BY t.checked_at DESC`,
    ),
    tagsOf: prepare<[number, number], { tag: string; checked_at: number }>(
      `SELECT tag, max(checked_at) AS checked_at FROM tags WHERE repository = ? AND content = ?
       GROUP BY tag ORDER BY tag`,
    ),
    tagged: prepare<[number], { tag: string; digest: Buffer }>(
      `SELECT DISTINCT t.tag, c.digest FROM tags t JOIN contents c ON c.id = t.content
       WHERE t.repository = ? ORDER BY t.tag`,
    ),
    storedContents: prepare<[{ root: number; limit: number }], { digest: Buffer }>(
      `WITH RECURSIVE ${CLOSURE} SELECT c.digest FROM closure k JOIN blobs b ON b.content = k.id
       JOIN contents c ON c.id = k.id LIMIT @limit`,
    ),
    held: prepare<[number, number, number], { content: number; digest: Buffer }>(
      `SELECT h.content, c.digest FROM holdings h JOIN blobs b ON b.content = h.content
       JOIN contents c ON c.id = h.content WHERE h.repository = ? AND h.content > ? ORDER BY h.content LIMIT ?`,
    ),
    manifests: prepare<[number, number, number], { content: number; digest: Buffer }>(
      `SELECT h.content, c.digest FROM holdings h JOIN contents c ON c.id = h.content
       WHERE h.repository = ? AND h.manifest_type IS NOT NULL AND h.content > ? ORDER BY h.content LIMIT ?`,
    ),
    deleteTagsOf: prepare<[number, number]>('DELETE FROM tags WHERE repository = ? AND content = ?'),
    sizes: prepare<[{ root: number }], { bytes: number | null; exclusive: number | null; blobs: number }>(
      `WITH RECURSIVE ${CLOSURE}, ${sharedIn(false)}
       SELECT sum(size) AS bytes, count(*) AS blobs,
         sum(CASE WHEN content IN (SELECT id FROM shared) THEN 0 ELSE size END) AS exclusive
       FROM blobs WHERE content IN (SELECT id FROM closure)`,
    ),
    exclusiveHoldings: prepare<[{ root: number; repository: number }], { content: number }>(
      `WITH RECURSIVE ${CLOSURE}, ${sharedIn(true)}
       SELECT h.content FROM holdings h WHERE h.repository = @repository
       AND h.content IN (SELECT id FROM closure) AND h.content NOT IN (SELECT id FROM shared)`,
    ),
    someHoldings: prepare<[number, number], { content: number }>(
      'SELECT content FROM holdings WHERE repository = ? LIMIT ?',
    ),
    holders: prepare<[Buffer, number], { upstream: string; name: string }>(
      `SELECT r.upstream, r.name FROM contents c JOIN holdings h ON h.content = c.id
       JOIN repositories r ON r.id = h.repository WHERE c.digest = ? ORDER BY r.id LIMIT ?`,
    ),
    lastRepository: prepare<[], { id: number | null }>('SELECT max(id) AS id FROM repositories'),
    listing: prepare<[number, number], { parent: number }>(
      `SELECT l.parent FROM links l JOIN holdings p ON p.content = l.parent AND p.repository = ?
       WHERE l.child = ? LIMIT 1`,
    ),
    lastBlob: prepare<[], { content: number | null }>('SELECT max(content) AS content FROM blobs'),
    heldOnlyBy: prepare<
      [{ upstream: string | null; name: string | null; after: number; until: number }],
      { bytes: number; blobs: number }
    >(
      `SELECT coalesce(sum(b.size), 0) AS bytes, count(*) AS blobs FROM blobs b
       WHERE b.content > @after AND b.content <= @until
       AND EXISTS (SELECT 1 FROM holdings h WHERE h.content = b.content)
       AND NOT EXISTS (SELECT 1 FROM holdings h JOIN repositories r ON r.id = h.repository
         WHERE h.content = b.content
         AND NOT (r.upstream = coalesce(@upstream, r.upstream) AND r.name = coalesce(@name, r.name)))`,
    ),
    deleteHolding: prepare<[number, number]>('DELETE FROM holdings WHERE repository = ? AND content = ?'),
    deleteRepository: prepare<[number]>('DELETE FROM repositories WHERE id = ?'),
    deleteTagsOfRepository: prepare<[number]>('DELETE FROM tags WHERE repository = ?'),
    unheldBlob: prepare<[number], { digest: Buffer }>(
      `SELECT c.digest FROM blobs b JOIN contents c ON c.id = b.content WHERE b.content = ?
       AND NOT EXISTS (SELECT 1 FROM holdings h WHERE h.content = b.content)`,
    ),

    pins: prepare<[], { pattern: string }>('SELECT pattern FROM pins ORDER BY pattern'),
    addPin: prepare<[string]>('INSERT OR IGNORE INTO pins (pattern) VALUES (?)'),
    removePin: prepare<[string]>('DELETE FROM pins WHERE pattern = ?'),
    pinnedGeneration: prepare<[], { generation: number | null }>(
      'SELECT max(generation) AS generation FROM pinned',
    ),
    deleteOldPinned: prepare<[{ generation: number; limit: number }]>(
      `DELETE FROM pinned WHERE content IN (
         SELECT content FROM pinned WHERE generation < @generation LIMIT @limit)`,
    ),
    addPinned: prepare<[{ root: number; generation: number }]>(
      `WITH RECURSIVE ${CLOSURE} INSERT INTO pinned (content, generation)
       SELECT id, @generation FROM closure WHERE true
       ON CONFLICT (content) DO UPDATE SET generation = excluded.generation`,
    ),
    pinnedPage: prepare<
      [{ after: number; limit: number }],
      { bytes: number; blobs: number; last: number | null }
    >(
      `SELECT coalesce(sum(b.size), 0) AS bytes, count(b.content) AS blobs, max(p.content) AS last
       FROM (SELECT content FROM pinned WHERE content > @after ORDER BY content LIMIT @limit) p
       LEFT JOIN blobs b ON b.content = p.content`,
    ),
  };
}
