import { fork } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { evictionPolicy } from '../../src/cache/eviction-policy.ts';
import { openDatabase } from '../../src/metadata/database.ts';
import { prepareLasting } from '../../src/metadata/lasting-database.ts';
import { SqliteMetadataStore } from '../../src/metadata/sqlite-metadata-store.ts';

export interface LargeStoreOptions {
  readonly dataDir: string;
  readonly blobs: number;
  /** Of the blobs; as many more are their configs, the rest are layers. */
  readonly manifests: number;
}

const REPOSITORIES = 5000;
const UPSTREAM = 'registry.example';
const MANIFEST_TYPE = 'application/vnd.oci.image.manifest.v1+json';
/** Base layers that images share. */
const SHARED_LAYERS = 20_000;
const DAY_MS = 24 * 60 * 60 * 1000;

/**
 * A data directory as years of use leave it: files of a few bytes each (one block on the disk), and an index in which
 * each manifest has a tag, a config, three layers of its own and four shared ones.
 */
export async function makeLargeStore(options: LargeStoreOptions): Promise<void> {
  // A process of its own: it takes minutes without a pause, in which nothing else would hear a signal.
  const script = fileURLToPath(new URL('large-store-child.js', import.meta.url));
  const [code] = await once(fork(script, [JSON.stringify(options)]), 'exit');
  if (code !== 0) throw new Error(`making the large store ended with ${String(code)}`);
}

/** What `makeLargeStore` does, in this process. */
export async function writeLargeStore({ dataDir, blobs, manifests }: LargeStoreOptions): Promise<void> {
  writeFiles(dataDir, blobs);
  const opened = openDatabase(dataDir);
  const { database } = opened;
  const store = new SqliteMetadataStore(opened, evictionPolicy);
  const insert = (sql: string) => prepareLasting<unknown[]>(database, sql);
  const contents = insert('INSERT INTO contents (digest, kind) VALUES (?, ?)');
  const rows = insert('INSERT INTO blobs VALUES (?, ?, 1, ?, NULL, ?)');
  const holdings = insert('INSERT OR IGNORE INTO holdings VALUES (?, ?, ?, ?)');
  const links = insert('INSERT OR IGNORE INTO links VALUES (?, ?)');
  const tags = insert("INSERT INTO tags VALUES (?, ?, '', ?, 0)");
  const repositories = insert('INSERT INTO repositories (id, upstream, name) VALUES (?, ?, ?)');
  const layers = blobs - 2 * manifests;
  const now = Date.now();

  database.exec('BEGIN');
  insert('INSERT INTO upstreams VALUES (1, ?)').run(UPSTREAM);
  for (let id = 1; id <= REPOSITORIES; id += 1) repositories.run(id, UPSTREAM, repositoryNumber(id));
  for (let id = 1; id <= blobs; id += 1) {
    const kind = id > 2 * manifests ? 0 : id > manifests ? 1 : 2;
    const usedAt = now - Math.floor(((id * 7919) % 365) * DAY_MS);
    contents.run(Buffer.from(`01${hexOf(id)}`, 'hex'), kind);
    rows.run(id, contentNumber(id).length, usedAt, usedAt);
  }
  for (let id = 1; id <= manifests; id += 1) {
    const repository = 1 + (id % REPOSITORIES);
    const own = [0, 1, 2].map((n) => 2 * manifests + 1 + ((id * 3 + n) % layers));
    const shared = [1, 2, 3, 4].map(
      (n) => 2 * manifests + 1 + ((id * n * 31) % Math.min(SHARED_LAYERS, layers)),
    );
    holdings.run(repository, id, contentNumber(id).length, MANIFEST_TYPE);
    tags.run(repository, `v${id}`, id);
    for (const child of [manifests + id, ...own, ...shared]) {
      links.run(id, child);
      holdings.run(repository, child, contentNumber(child).length, null);
    }
  }
  database.exec('COMMIT');
  await store.reconciled();
  await store.close();
}

function writeFiles(dataDir: string, blobs: number): void {
  const root = join(dataDir, 'content', 'v1', 'sha256');
  for (let n = 0; n < 256; n += 1) {
    mkdirSync(join(root, n.toString(16).padStart(2, '0')), { recursive: true, mode: 0o700 });
  }
  for (let id = 1; id <= blobs; id += 1) {
    const hex = hexOf(id);
    writeFileSync(join(root, hex.slice(0, 2), hex), contentNumber(id), { mode: 0o600 });
  }
}

/** Where the manifest of that number is served. */
export function manifestPath(id: number): string {
  return `/v2/${repositoryNumber(1 + (id % REPOSITORIES))}/manifests/sha256:${hexOf(id)}`;
}

function repositoryNumber(id: number): string {
  return `team/app-${id}`;
}

function contentNumber(id: number): string {
  return `content ${id}`;
}

function hexOf(id: number): string {
  return createHash('sha256').update(contentNumber(id)).digest('hex');
}
