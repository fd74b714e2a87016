/**
 * Forward only: entry n brings a database from `user_version` n to n + 1. Never edit one that was released.
 *
 * `contents` numbers every digest that anything names (see digest-key), so that a million blobs need no text in any other
 * row. `blobs` says which files are committed, and in which order they are given up. `holdings` says which repository
 * was seen to hold what: only through it is anything served. `links` says what lists what, whoever holds it; eviction,
 * sizes and pins go by it, access never does.
 */
export const MIGRATIONS: readonly string[] = [
  `
  CREATE TABLE blobs (
    digest TEXT PRIMARY KEY,
    size INTEGER NOT NULL,
    used_at INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX blobs_by_use ON blobs (used_at);

  CREATE TABLE repositories (
    id INTEGER PRIMARY KEY,
    upstream TEXT NOT NULL,
    name TEXT NOT NULL,
    UNIQUE (upstream, name)
  ) STRICT;

  CREATE TABLE holdings (
    repository INTEGER NOT NULL REFERENCES repositories (id) ON DELETE CASCADE,
    digest TEXT NOT NULL,
    size INTEGER NOT NULL,
    manifest_type TEXT,
    PRIMARY KEY (repository, digest)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE tags (
    repository INTEGER NOT NULL REFERENCES repositories (id) ON DELETE CASCADE,
    tag TEXT NOT NULL,
    accept TEXT NOT NULL,
    digest TEXT NOT NULL,
    checked_at INTEGER NOT NULL,
    PRIMARY KEY (repository, tag, accept)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE tag_lists (
    repository INTEGER PRIMARY KEY REFERENCES repositories (id) ON DELETE CASCADE,
    items TEXT NOT NULL,
    checked_at INTEGER NOT NULL
  ) STRICT;

  CREATE TABLE referrers (
    repository INTEGER NOT NULL REFERENCES repositories (id) ON DELETE CASCADE,
    subject TEXT NOT NULL,
    items TEXT NOT NULL,
    checked_at INTEGER NOT NULL,
    PRIMARY KEY (repository, subject)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE probe (id INTEGER PRIMARY KEY CHECK (id = 1), value INTEGER NOT NULL) STRICT;
  `,
  `
  CREATE TABLE contents (
    id INTEGER PRIMARY KEY,
    digest BLOB NOT NULL UNIQUE,
    kind INTEGER NOT NULL DEFAULT 0
  ) STRICT;
  CREATE TABLE upstreams (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;

  ALTER TABLE blobs RENAME TO old_blobs;
  ALTER TABLE holdings RENAME TO old_holdings;
  ALTER TABLE tags RENAME TO old_tags;
  ALTER TABLE referrers RENAME TO old_referrers;
  DROP INDEX blobs_by_use;

  CREATE TEMP TABLE old_digests AS
    SELECT digest FROM old_blobs UNION SELECT digest FROM old_holdings
    UNION SELECT digest FROM old_tags UNION SELECT subject FROM old_referrers;
  INSERT INTO contents (digest, kind)
    SELECT unhex(CASE substr(digest, 1, 7) WHEN 'sha256:' THEN '01' ELSE '02' END || substr(digest, 8)),
      coalesce((SELECT max(CASE WHEN manifest_type LIKE '%index%' OR manifest_type LIKE '%list%' THEN 3 ELSE 2 END)
        FROM old_holdings h WHERE h.digest = d.digest AND manifest_type IS NOT NULL), 0)
    FROM old_digests d WHERE length(digest) IN (71, 135);
  CREATE TEMP TABLE old_ids AS
    SELECT o.digest AS digest, c.id AS id FROM old_digests o JOIN contents c
    ON c.digest = unhex(CASE substr(o.digest, 1, 7) WHEN 'sha256:' THEN '01' ELSE '02' END || substr(o.digest, 8));
  CREATE INDEX temp.old_ids_by_digest ON old_ids (digest);

  CREATE TABLE blobs (
    content INTEGER PRIMARY KEY REFERENCES contents (id),
    size INTEGER NOT NULL,
    upstream INTEGER REFERENCES upstreams (id),
    used_at INTEGER NOT NULL,
    earlier_at INTEGER,
    rank INTEGER NOT NULL
  ) STRICT;
  INSERT INTO blobs SELECT i.id, o.size, NULL, o.used_at, NULL, o.used_at
    FROM old_blobs o JOIN old_ids i ON i.digest = o.digest;
  CREATE INDEX blobs_by_rank ON blobs (rank);
  CREATE INDEX blobs_by_upstream ON blobs (upstream, rank);

  CREATE TABLE holdings (
    repository INTEGER NOT NULL REFERENCES repositories (id) ON DELETE CASCADE,
    content INTEGER NOT NULL REFERENCES contents (id),
    size INTEGER NOT NULL,
    manifest_type TEXT,
    PRIMARY KEY (repository, content)
  ) STRICT, WITHOUT ROWID;
  INSERT INTO holdings SELECT o.repository, i.id, o.size, o.manifest_type
    FROM old_holdings o JOIN old_ids i ON i.digest = o.digest;
  CREATE INDEX holdings_by_content ON holdings (content);

  CREATE TABLE links (
    parent INTEGER NOT NULL REFERENCES contents (id),
    child INTEGER NOT NULL REFERENCES contents (id),
    PRIMARY KEY (parent, child)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX links_by_child ON links (child);

  CREATE TABLE tags (
    repository INTEGER NOT NULL REFERENCES repositories (id) ON DELETE CASCADE,
    tag TEXT NOT NULL,
    accept TEXT NOT NULL,
    content INTEGER NOT NULL REFERENCES contents (id),
    checked_at INTEGER NOT NULL,
    PRIMARY KEY (repository, tag, accept)
  ) STRICT, WITHOUT ROWID;
  INSERT INTO tags SELECT o.repository, o.tag, o.accept, i.id, o.checked_at
    FROM old_tags o JOIN old_ids i ON i.digest = o.digest;
  CREATE INDEX tags_by_content ON tags (content);

  CREATE TABLE referrers (
    repository INTEGER NOT NULL REFERENCES repositories (id) ON DELETE CASCADE,
    subject INTEGER NOT NULL REFERENCES contents (id),
    items TEXT NOT NULL,
    checked_at INTEGER NOT NULL,
    PRIMARY KEY (repository, subject)
  ) STRICT, WITHOUT ROWID;
  INSERT INTO referrers SELECT o.repository, i.id, o.items, o.checked_at
    FROM old_referrers o JOIN old_ids i ON i.digest = o.subject;

  DROP TABLE temp.old_ids;
  DROP TABLE temp.old_digests;
  DROP TABLE old_blobs;
  DROP TABLE old_holdings;
  DROP TABLE old_tags;
  DROP TABLE old_referrers;

  CREATE TABLE pins (pattern TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
  CREATE TABLE pinned (
    content INTEGER PRIMARY KEY REFERENCES contents (id),
    -- Of which setting it is: those of an older one are taken out when the new one is whole.
    generation INTEGER NOT NULL
  ) STRICT;
  CREATE INDEX pinned_by_generation ON pinned (generation);
  CREATE TABLE state (key TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
  `,
  // Without it every content that is forgotten would be looked for in all lists.
  'CREATE INDEX referrers_by_subject ON referrers (subject)',
  // What a tag meant before, until when; digests as they are: contents that are forgotten keep their name here. It goes
  // with the tag. Replacing a row of tags fires no trigger (recursive_triggers is off).
  `
  CREATE TABLE tag_history (
    repository INTEGER NOT NULL REFERENCES repositories (id) ON DELETE CASCADE,
    tag TEXT NOT NULL,
    until INTEGER NOT NULL,
    digest BLOB NOT NULL,
    PRIMARY KEY (repository, tag, until)
  ) STRICT, WITHOUT ROWID;
  CREATE TRIGGER tag_forgotten AFTER DELETE ON tags WHEN OLD.accept = '' BEGIN
    DELETE FROM tag_history WHERE repository = OLD.repository AND tag = OLD.tag;
  END;
  `,
];
