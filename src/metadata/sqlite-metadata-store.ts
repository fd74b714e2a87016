import type Database from 'better-sqlite3';
import { LRUCache } from 'lru-cache';
import type { Digest } from '../oci/digest.ts';
import type { Tag } from '../oci/reference.ts';
import { translated } from './database.ts';
import type {
  BlobRow,
  Holding,
  Listing,
  MetadataStore,
  NewHolding,
  RepositoryKey,
  StoreTotals,
  TagKey,
  TagRow,
} from './metadata-store.ts';
import { prepareStatements, type Statements } from './statements.ts';

const REPOSITORY_IDS_KEPT = 10_000;

/** The index in one SQLite database. The only connection that writes it. Takes the database over, and closes it. */
export class SqliteMetadataStore implements MetadataStore {
  readonly #database: Database.Database;
  readonly #statements: Statements;
  readonly #repositoryIds = new LRUCache<string, number>({ max: REPOSITORY_IDS_KEPT });

  constructor(database: Database.Database) {
    this.#database = database;
    this.#statements = prepareStatements(database);
  }

  blob(digest: Digest): Promise<BlobRow | undefined> {
    return run(() => {
      const row = this.#statements.blob.get(digest);
      return row && { digest, sizeBytes: row.size };
    });
  }

  putBlob(row: BlobRow, usedAt: number): Promise<void> {
    return run(() => void this.#statements.putBlob.run(row.digest, row.sizeBytes, Math.round(usedAt)));
  }

  deleteBlob(digest: Digest): Promise<BlobRow | undefined> {
    return run(() => {
      const row = this.#statements.deleteBlob.get(digest);
      return row && { digest, sizeBytes: row.size };
    });
  }

  totals(): Promise<StoreTotals> {
    return run(() => this.#statements.totals.get() ?? { bytes: 0, blobs: 0 });
  }

  leastRecentlyUsed(limit: number): Promise<readonly BlobRow[]> {
    return run(() => {
      const rows = this.#statements.leastRecentlyUsed.all(limit);
      return rows.map(({ digest, size }) => ({ digest: digest as Digest, sizeBytes: size }));
    });
  }

  touch(uses: ReadonlyMap<Digest, number>): Promise<void> {
    return run(() =>
      this.#database.transaction(() => {
        for (const [digest, usedAt] of uses) this.#statements.touch.run(Math.round(usedAt), digest);
      })(),
    );
  }

  holding(key: RepositoryKey, digest: Digest): Promise<Holding | undefined> {
    return run(() => {
      const id = this.#repositoryId(key);
      const row = id === undefined ? undefined : this.#statements.holding.get(id, digest);
      return row && { sizeBytes: row.size, manifestType: row.manifest_type ?? undefined };
    });
  }

  recordHoldings(key: RepositoryKey, holdings: readonly NewHolding[]): Promise<void> {
    return run(() =>
      this.#database.transaction(() => {
        const id = this.#addRepository(key);
        for (const { digest, sizeBytes, manifestType } of holdings) {
          this.#statements.putHolding.run(id, digest, sizeBytes, manifestType ?? null);
        }
      })(),
    );
  }

  tag(key: TagKey): Promise<TagRow | undefined> {
    return run(() => {
      const id = this.#repositoryId(key);
      const row = id === undefined ? undefined : this.#statements.tag.get(id, key.tag, key.accept);
      return row && { digest: row.digest as Digest, checkedAt: row.checked_at };
    });
  }

  putTag(key: TagKey, row: TagRow): Promise<void> {
    return run(() =>
      this.#database.transaction(() => {
        const id = this.#addRepository(key);
        this.#statements.putTag.run(id, key.tag, key.accept, row.digest, Math.round(row.checkedAt));
      })(),
    );
  }

  deleteTag(key: RepositoryKey, tag: Tag, accept?: string): Promise<void> {
    return run(() => {
      const id = this.#repositoryId(key);
      if (id !== undefined) this.#statements.deleteTag.run(id, tag, accept ?? null);
    });
  }

  knownTags(key: RepositoryKey): Promise<readonly string[]> {
    return run(() => {
      const id = this.#repositoryId(key);
      return id === undefined ? [] : this.#statements.knownTags.all(id).map(({ tag }) => tag);
    });
  }

  tagList(key: RepositoryKey): Promise<Listing<string> | undefined> {
    return run(() => {
      const id = this.#repositoryId(key);
      const row = id === undefined ? undefined : this.#statements.tagList.get(id);
      return row && { items: JSON.parse(row.items) as string[], checkedAt: row.checked_at };
    });
  }

  putTagList(key: RepositoryKey, { items, checkedAt }: Listing<string>): Promise<void> {
    return run(() =>
      this.#database.transaction(() => {
        const id = this.#addRepository(key);
        this.#statements.putTagList.run(id, JSON.stringify(items), Math.round(checkedAt));
      })(),
    );
  }

  deleteTagList(key: RepositoryKey): Promise<void> {
    return run(() => {
      const id = this.#repositoryId(key);
      if (id !== undefined) this.#statements.deleteTagList.run(id);
    });
  }

  referrers(key: RepositoryKey, subject: Digest): Promise<Listing<Record<string, unknown>> | undefined> {
    return run(() => {
      const id = this.#repositoryId(key);
      const row = id === undefined ? undefined : this.#statements.referrers.get(id, subject);
      return row && { items: JSON.parse(row.items) as Record<string, unknown>[], checkedAt: row.checked_at };
    });
  }

  putReferrers(
    key: RepositoryKey,
    subject: Digest,
    { items, checkedAt }: Listing<Record<string, unknown>>,
  ): Promise<void> {
    return run(() =>
      this.#database.transaction(() => {
        if (items.length === 0) {
          const known = this.#repositoryId(key);
          if (known !== undefined) this.#statements.deleteReferrers.run(known, subject);
          return;
        }
        const id = this.#addRepository(key);
        this.#statements.putReferrers.run(id, subject, JSON.stringify(items), Math.round(checkedAt));
      })(),
    );
  }

  probe(): Promise<void> {
    return run(() => {
      const value = Math.floor(Math.random() * 2 ** 40);
      this.#statements.writeProbe.run(value);
      if (this.#statements.readProbe.get()?.value !== value)
        throw new Error('a row read back otherwise than written');
    });
  }

  close(): Promise<void> {
    return run(() => void this.#database.close());
  }

  #repositoryId({ upstream, repository }: RepositoryKey): number | undefined {
    const key = `${upstream} ${repository}`;
    const kept = this.#repositoryIds.get(key);
    if (kept !== undefined) return kept;
    const id = this.#statements.repositoryId.get(upstream, repository)?.id;
    if (id !== undefined) this.#repositoryIds.set(key, id);
    return id;
  }

  /** Within a transaction: the id is not remembered, since the transaction may yet be rolled back. */
  #addRepository(key: RepositoryKey): number {
    const known = this.#repositoryId(key);
    if (known !== undefined) return known;
    return Number(this.#statements.addRepository.run(key.upstream, key.repository).lastInsertRowid);
  }
}

/** Statements run at once; what they throw becomes the promise's rejection. */
async function run<T>(work: () => T): Promise<T> {
  try {
    return work();
  } catch (cause) {
    throw translated(cause);
  }
}
