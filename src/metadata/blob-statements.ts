import type Database from 'better-sqlite3';
import { prepareLasting } from './lasting-database.ts';

export interface BlobColumns {
  readonly content: number;
  readonly digest: Buffer;
  readonly kind: number;
  readonly size: number;
  readonly upstream: string | null;
  readonly used_at: number;
  readonly earlier_at: number | null;
  readonly rank: number;
}

export interface TotalColumns {
  readonly upstream: string | null;
  readonly bytes: number;
  readonly blobs: number;
}

const COLUMNS = `SELECT b.content, c.digest, c.kind, b.size, u.name AS upstream, b.used_at, b.earlier_at, b.rank
  FROM blobs b JOIN contents c ON c.id = b.content LEFT JOIN upstreams u ON u.id = b.upstream`;

/** Statements on digests and stored blobs. */
export function prepareBlobStatements(database: Database.Database) {
  const prepare = <P extends unknown[], R = unknown>(sql: string) => prepareLasting<P, R>(database, sql);
  return {
    contentId: prepare<[Buffer], { id: number; kind: number }>(
      'SELECT id, kind FROM contents WHERE digest = ?',
    ),
    addContent: prepare<[Buffer, number]>('INSERT INTO contents (digest, kind) VALUES (?, ?)'),
    raiseKind: prepare<[number, number]>('UPDATE contents SET kind = ? WHERE id = ?'),
    upstreamId: prepare<[string], { id: number }>('SELECT id FROM upstreams WHERE name = ?'),
    addUpstream: prepare<[string]>('INSERT INTO upstreams (name) VALUES (?)'),

    blobSize: prepare<[Buffer], { size: number }>(
      'SELECT b.size FROM contents c JOIN blobs b ON b.content = c.id WHERE c.digest = ?',
    ),
    blob: prepare<[Buffer], BlobColumns>(`${COLUMNS} WHERE c.digest = ?`),
    putBlob: prepare<[number, number, number | null, number, number]>(
      'INSERT OR REPLACE INTO blobs (content, size, upstream, used_at, earlier_at, rank) VALUES (?, ?, ?, ?, NULL, ?)',
    ),
    deleteBlob: prepare<[number]>('DELETE FROM blobs WHERE content = ?'),
    /** By a scan of the rows: their index on upstreams would lead to each of them by itself. */
    totals: prepare<[{ block: number }], TotalColumns>(
      `SELECT u.name AS upstream, t.bytes, t.blobs FROM (
         SELECT upstream, cast(sum((size + cast(@block AS INTEGER) - 1) / cast(@block AS INTEGER) * @block) AS INTEGER) AS bytes, count(*) AS blobs
         FROM blobs GROUP BY +upstream) t LEFT JOIN upstreams u ON u.id = t.upstream`,
    ),
    pinnedByUpstream: prepare<[{ block: number; limit: number }], TotalColumns>(
      `SELECT u.name AS upstream, count(*) AS blobs,
         cast(sum((b.size + cast(@block AS INTEGER) - 1) / cast(@block AS INTEGER) * @block) AS INTEGER) AS bytes
       FROM (SELECT content FROM pinned LIMIT @limit) p JOIN blobs b ON b.content = p.content
       LEFT JOIN upstreams u ON u.id = b.upstream GROUP BY b.upstream`,
    ),
    isPinned: prepare<[Buffer], { content: number }>(
      'SELECT p.content FROM contents c JOIN pinned p ON p.content = c.id WHERE c.digest = ?',
    ),
    victims: prepare<[number], BlobColumns>(
      `${COLUMNS} WHERE NOT EXISTS (SELECT 1 FROM pinned p WHERE p.content = b.content) ORDER BY b.rank LIMIT ?`,
    ),
    victimPage: prepare<[{ rank: number; content: number; limit: number }], BlobColumns & { rank: number }>(
      `${COLUMNS.replace('SELECT', 'SELECT b.rank,')} WHERE (b.rank, b.content) > (@rank, @content)
       AND NOT EXISTS (SELECT 1 FROM pinned p WHERE p.content = b.content) ORDER BY b.rank, b.content LIMIT @limit`,
    ),
    victimsOfUpstream: prepare<[string, number], BlobColumns>(
      `${COLUMNS} WHERE b.upstream = (SELECT id FROM upstreams WHERE name = ?)
       AND NOT EXISTS (SELECT 1 FROM pinned p WHERE p.content = b.content) ORDER BY b.rank LIMIT ?`,
    ),
    /** A blob, and what it lists. */
    withListed: prepare<[{ root: number; limit: number }], BlobColumns>(
      `${COLUMNS} WHERE b.content IN (SELECT @root UNION SELECT child FROM links WHERE parent = @root) LIMIT @limit`,
    ),
    /** Of what may be given up and is no orphan. */
    lowestRank: prepare<[], { rank: number }>(
      `SELECT b.rank FROM blobs b WHERE b.rank >= 0
       AND NOT EXISTS (SELECT 1 FROM pinned p WHERE p.content = b.content) ORDER BY b.rank LIMIT 1`,
    ),
    use: prepare<[number, number | null, number, number]>(
      'UPDATE blobs SET used_at = ?, earlier_at = ?, rank = ? WHERE content = ?',
    ),
    oldestUse: prepare<[number, number], { oldest: number | null; last: number | null; count: number }>(
      `SELECT min(used_at) AS oldest, max(content) AS last, count(*) AS count
       FROM (SELECT content, used_at FROM blobs WHERE content > ? ORDER BY content LIMIT ?)`,
    ),
    page: prepare<[number, number], BlobColumns>(`${COLUMNS} WHERE b.content > ? ORDER BY b.content LIMIT ?`),
    /** Users beyond some thousands of one blob are not counted: each is a row to look at. */
    sharing: prepare<
      [number, number],
      { last: number | null; count: number; bytes: number | null; unshared: number | null }
    >(
      `SELECT max(content) AS last, count(*) AS count, sum(size) AS bytes, sum(size * max(1, users)) AS unshared FROM (
         SELECT b.content, b.size, (SELECT count(*) FROM (SELECT 1 FROM links l JOIN blobs p ON p.content = l.parent
           WHERE l.child = b.content LIMIT 5000)) AS users
         FROM blobs b WHERE b.content > ? ORDER BY b.content LIMIT ?)`,
    ),

    addLink: prepare<[number, number]>('INSERT OR IGNORE INTO links (parent, child) VALUES (?, ?)'),
    deleteLinks: prepare<[number]>('DELETE FROM links WHERE parent = ?'),
    /** Stored children that no other stored manifest lists. */
    orphans: prepare<[{ parent: number }], BlobColumns>(
      `${COLUMNS} WHERE b.content IN (SELECT child FROM links WHERE parent = @parent) AND NOT EXISTS (
         SELECT 1 FROM links other JOIN blobs parent ON parent.content = other.parent
         WHERE other.child = b.content AND other.parent <> @parent)`,
    ),
    setRank: prepare<[number, number]>('UPDATE blobs SET rank = ? WHERE content = ?'),
  };
}
