import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Digest } from '../oci/digest.ts';
import type { Tag } from '../oci/reference.ts';
import type { Ranking } from './stored-blobs.ts';
import type { OpenedDatabase } from './database.ts';
import { digestKey, digestOfKey } from './digest-key.ts';
import { forgetUnstored, lastPlace } from './forget-unstored.ts';
import { IndexConnection } from './index-connection.ts';
import type {
  ForgettingPlace,
  ForgettingSlice,
  FormerTag,
  Holding,
  Listed,
  Listing,
  MarkName,
  MetadataStore,
  NewHolding,
  NewManifest,
  RepositoryKey,
  TagKey,
  TagRow,
} from './metadata-store.ts';
import { SqliteBlobs } from './sqlite-blobs.ts';
import { SqliteImages } from './sqlite-images.ts';
import type { Statements } from './statements.ts';

/** Children of a manifest that one transaction takes: some milliseconds, in which nobody else is served. */
const CHILDREN_AT_ONCE = 500;
/** Changes of a tag that are kept: of one that moves with every build, some weeks. */
const TAG_HISTORY_LIMIT = 20;

/** The index in one SQLite database. The only connection that writes it. Takes the database over, and closes it. */
export class SqliteMetadataStore implements MetadataStore {
  readonly blobs: SqliteBlobs;
  readonly images: SqliteImages;
  readonly #connection: IndexConnection;

  /** @param ranking the order in which blobs are given up */
  constructor(opened: OpenedDatabase, ranking: Ranking) {
    this.#connection = new IndexConnection(opened);
    this.blobs = new SqliteBlobs(this.#connection, ranking);
    this.images = new SqliteImages(this.#connection);
  }

  get needsReconcile(): boolean {
    return this.#connection.needsReconcile;
  }

  get onLost(): ((setAside: string) => void) | undefined {
    return this.#connection.onLost;
  }

  set onLost(told: ((setAside: string) => void) | undefined) {
    this.#connection.onLost = told;
  }

  reconciled(): Promise<void> {
    return this.#connection.run(() => this.#connection.reconciled());
  }

  mark(name: MarkName): Promise<number | undefined> {
    return this.#connection.run(({ state }) => state.get(name)?.value);
  }

  setMark(name: MarkName, value: number): Promise<void> {
    return this.#connection.run(({ setState }) => void setState.run(name, Math.round(value)));
  }

  holding(key: RepositoryKey, digest: Digest): Promise<Holding | undefined> {
    return this.#connection.run((statements) => {
      const id = this.#connection.repositoryId(key);
      const row = id === undefined ? undefined : statements.holding.get(id, digestKey(digest));
      return row && { sizeBytes: row.size, manifestType: row.manifest_type ?? undefined };
    });
  }

  recordHoldings(key: RepositoryKey, holdings: readonly NewHolding[]): Promise<void> {
    return this.#connection.transaction((statements) => {
      const id = this.#connection.addRepository(key);
      for (const { digest, sizeBytes, manifestType } of holdings) {
        const content = this.#connection.addContent(
          digest,
          manifestType === undefined ? 'layer' : 'manifest',
        );
        statements.putHolding.run(id, content, sizeBytes, manifestType ?? null);
      }
    });
  }

  async recordManifest(key: RepositoryKey, manifest: NewManifest): Promise<void> {
    await this.linkManifest(manifest, key);
    const { digest, sizeBytes, mediaType } = manifest;
    const known = await this.holding(key, digest);
    await this.recordHoldings(key, [{ digest, sizeBytes, manifestType: mediaType }]);
    if (known?.manifestType === undefined) this.images.changed(key);
  }

  /** @param holder who holds what listing proves to be held; absent: nobody */
  async linkManifest(manifest: NewManifest, holder?: RepositoryKey): Promise<void> {
    const { digest, isIndex, children } = manifest;
    for (let from = 0; from === 0 || from < children.length; from += CHILDREN_AT_ONCE) {
      if (from > 0) await nextTurn();
      const some = children.slice(from, from + CHILDREN_AT_ONCE);
      await this.#connection.transaction(() => this.#link(digest, isIndex, some, holder));
    }
  }

  #link(
    digest: Digest,
    isIndex: boolean,
    children: readonly Listed[],
    holder: RepositoryKey | undefined,
  ): void {
    const { addLink, putHolding, isPinned } = this.#connection.statements;
    let isNew = false;
    const parent = this.#connection.addContent(digest, isIndex ? 'index' : 'manifest');
    const repository = holder && this.#connection.addRepository(holder);
    for (const child of children) {
      const content = this.#connection.addContent(child.digest, child.kind);
      isNew = addLink.run(parent, content).changes > 0 || isNew;
      if (child.isHeld && repository !== undefined)
        putHolding.run(repository, content, child.sizeBytes, null);
    }
    // What lists it may be pinned whoever brings it.
    if (isNew) this.images.changed(isPinned.get(digestKey(digest)) === undefined ? holder : undefined);
  }

  tag(key: TagKey): Promise<TagRow | undefined> {
    return this.#connection.run((statements) => {
      const id = this.#connection.repositoryId(key);
      const row = id === undefined ? undefined : statements.tag.get(id, key.tag, key.accept);
      return row && { digest: digestOfKey(row.digest), checkedAt: row.checked_at };
    });
  }

  putTag(key: TagKey, row: TagRow): Promise<void> {
    return this.#connection.transaction((statements) => {
      const id = this.#connection.addRepository(key);
      const content = this.#connection.addContent(row.digest, 'layer');
      // Most tags mean what they meant, and are only confirmed.
      const previous = statements.tag.get(id, key.tag, key.accept);
      const isSame = previous?.digest.equals(digestKey(row.digest));
      const checkedAt = Math.round(row.checkedAt);
      statements.putTag.run(id, key.tag, key.accept, content, checkedAt);
      // What it means to all, and not what the upstream makes of it for some kinds of client.
      if (previous !== undefined && isSame === false && key.accept === '')
        addTagHistory(statements, { repository: id, tag: key.tag }, checkedAt, previous.digest);
      if (isSame !== true) this.images.changed(key);
    });
  }

  tagHistory(key: RepositoryKey, tag: Tag): Promise<readonly FormerTag[]> {
    return this.#connection.run((statements) => {
      const id = this.#connection.repositoryId(key);
      const rows = id === undefined ? [] : statements.tagHistory.all(id, tag);
      return rows.map(({ until, digest }) => ({ digest: digestOfKey(digest), until }));
    });
  }

  deleteTag(key: RepositoryKey, tag: Tag, accept?: string): Promise<void> {
    return this.#connection.run((statements) => {
      const id = this.#connection.repositoryId(key);
      if (id !== undefined && statements.deleteTag.run(id, tag, accept ?? null).changes > 0)
        this.images.changed(key);
    });
  }

  knownTags(key: RepositoryKey): Promise<readonly string[]> {
    return this.#connection.run((statements) => {
      const id = this.#connection.repositoryId(key);
      return id === undefined ? [] : statements.knownTags.all(id).map(({ tag }) => tag);
    });
  }

  tagList(key: RepositoryKey): Promise<Listing<string> | undefined> {
    return this.#connection.run((statements) => {
      const id = this.#connection.repositoryId(key);
      const row = id === undefined ? undefined : statements.tagList.get(id);
      return row && { items: JSON.parse(row.items) as string[], checkedAt: row.checked_at };
    });
  }

  putTagList(key: RepositoryKey, { items, checkedAt }: Listing<string>): Promise<void> {
    return this.#connection.transaction((statements) => {
      const id = this.#connection.addRepository(key);
      statements.putTagList.run(id, JSON.stringify(items), Math.round(checkedAt));
    });
  }

  deleteTagList(key: RepositoryKey): Promise<void> {
    return this.#connection.run((statements) => {
      const id = this.#connection.repositoryId(key);
      if (id !== undefined) statements.deleteTagList.run(id);
    });
  }

  referrers(key: RepositoryKey, subject: Digest): Promise<Listing<Record<string, unknown>> | undefined> {
    return this.#connection.run((statements) => {
      const id = this.#connection.repositoryId(key);
      const row = id === undefined ? undefined : statements.referrers.get(id, digestKey(subject));
      return row && { items: JSON.parse(row.items) as Record<string, unknown>[], checkedAt: row.checked_at };
    });
  }

  putReferrers(
    key: RepositoryKey,
    subject: Digest,
    { items, checkedAt }: Listing<Record<string, unknown>>,
  ): Promise<void> {
    return this.#connection.transaction((statements) => {
      if (items.length === 0) {
        const known = this.#connection.repositoryId(key);
        if (known !== undefined) statements.deleteReferrers.run(known, digestKey(subject));
        return;
      }
      const id = this.#connection.addRepository(key);
      const content = this.#connection.addContent(subject, 'layer');
      statements.putReferrers.run(id, content, JSON.stringify(items), Math.round(checkedAt));
    });
  }

  forgetUnstored(
    slice: ForgettingSlice,
  ): Promise<{ readonly forgotten: number; readonly next: ForgettingPlace | undefined }> {
    return this.#connection.transaction(() => forgetUnstored(this.#connection, slice));
  }

  lastPlace(): Promise<ForgettingPlace> {
    return this.#connection.run((statements) => lastPlace(statements));
  }

  probe(): Promise<void> {
    return this.#connection.run((statements) => {
      const value = Math.floor(Math.random() * 2 ** 40);
      statements.writeProbe.run(value);
      if (statements.readProbe.get()?.value !== value)
        throw new Error('a row read back otherwise than written');
    });
  }

  close(): Promise<void> {
    return this.#connection.run(() => this.#connection.close());
  }
}

function addTagHistory(
  { addTagHistory: add, trimTagHistory }: Statements,
  { repository, tag }: { readonly repository: number; readonly tag: Tag },
  until: number,
  digest: Buffer,
): void {
  add.run(repository, tag, until, digest);
  trimTagHistory.run({ repository, tag, limit: TAG_HISTORY_LIMIT });
}
