/**
 * Forward only: entry n brings a database from `user_version` n to n + 1. Never edit one that was released.
 *
 * `blobs` says which files are committed. `holdings` says which repository was seen to hold what: only through it is
 * anything served. The two are joined by digest and by nothing else, so a blob is stored once whoever asked.
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
];
