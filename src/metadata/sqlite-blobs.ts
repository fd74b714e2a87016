import { type Digest } from '../oci/digest.ts';
import type {
  StoredBlobs,
  BlobPage,
  BlobRow,
  NewBlob,
  OldestUse,
  Ranking,
  SharingPage,
  StoredBlob,
  StoreTotals,
  VictimPage,
  VictimQuery,
} from './stored-blobs.ts';
import type { BlobColumns, TotalColumns } from './blob-statements.ts';
import { digestKey, digestOfKey } from './digest-key.ts';
import { type IndexConnection, KINDS } from './index-connection.ts';
import type { Statements } from './statements.ts';

/** What one use of a manifest counts as used at most: more no image has, and each is a row to write. */
const LISTED_LIMIT = 5000;

/** Key of `state`. */
const LATEST_USE = 'latest_use';

/** Pinned blobs that are counted at most: a count takes no longer than a slice of eviction. */
const PINNED_LIMIT = 5000;

export class SqliteBlobs implements StoredBlobs {
  readonly #connection: IndexConnection;
  readonly #ranking: Ranking;
  /** Where eviction has come to: see `Ranking`. */
  #floor: number | undefined;
  #latestUse: number | undefined;

  constructor(connection: IndexConnection, ranking: Ranking) {
    this.#connection = connection;
    this.#ranking = ranking;
  }

  get(digest: Digest): Promise<BlobRow | undefined> {
    return this.#connection.run(({ blobSize }) => {
      const row = blobSize.get(digestKey(digest));
      return row && { digest, sizeBytes: row.size };
    });
  }

  describe(digest: Digest): Promise<StoredBlob | undefined> {
    return this.#connection.run(({ blob }) => optional(blob.get(digestKey(digest))));
  }

  put({ digest, sizeBytes, upstream }: NewBlob, usedAt: number): Promise<void> {
    const now = Math.round(usedAt);
    return this.#connection.transaction((statements) => {
      const id = this.#connection.addContent(digest, 'layer');
      const kind = KINDS[statements.contentId.get(digestKey(digest))?.kind ?? 0] ?? 'layer';
      const rank = this.#ranking.rankOf(
        { kind, sizeBytes, usedAt: now, earlierAt: undefined },
        this.#floorAt(statements, now),
      );
      const owner = upstream === undefined ? null : this.#connection.addUpstream(upstream);
      statements.putBlob.run(id, sizeBytes, owner, now, rank);
      this.#usedAt(statements, now);
    });
  }

  delete(digest: Digest): Promise<StoredBlob | undefined> {
    return this.#connection.transaction((statements) => {
      const row = statements.blob.get(digestKey(digest));
      if (row === undefined) return undefined;
      statements.deleteBlob.run(row.content);
      return storedBlob(row);
    });
  }

  evict(digest: Digest): Promise<StoredBlob | undefined> {
    return this.#connection.transaction((statements) => {
      const row = statements.blob.get(digestKey(digest));
      if (row === undefined) return undefined;
      for (const orphan of statements.orphans.all({ parent: row.content })) {
        statements.setRank.run(this.#ranking.orphanedRank(storedBlob(orphan)), orphan.content);
      }
      if (row.rank >= 0) this.#floor = row.rank;
      statements.deleteLinks.run(row.content);
      statements.deleteBlob.run(row.content);
      return storedBlob(row);
    });
  }

  totals(blockBytes = 1): Promise<StoreTotals> {
    return this.#connection.run(({ totals }) => storeTotals(totals.all({ block: blockBytes })));
  }

  pinnedTotals(blockBytes = 1): Promise<StoreTotals> {
    return this.#connection.run(({ pinnedByUpstream }) =>
      storeTotals(pinnedByUpstream.all({ block: blockBytes, limit: PINNED_LIMIT })),
    );
  }

  isPinned(digest: Digest): Promise<boolean> {
    return this.#connection.run(({ isPinned }) => isPinned.get(digestKey(digest)) !== undefined);
  }

  victims({ limit, upstream }: VictimQuery): Promise<readonly StoredBlob[]> {
    return this.#connection.run(({ victims, victimsOfUpstream }) => {
      const rows = upstream === undefined ? victims.all(limit) : victimsOfUpstream.all(upstream, limit);
      return rows.map(storedBlob);
    });
  }

  victimPage(after: string | undefined, limit: number): Promise<VictimPage> {
    return this.#connection.run(({ victimPage }) => {
      const [rank = Number.MIN_SAFE_INTEGER, content = 0] = after?.split(' ').map(Number) ?? [];
      const rows = victimPage.all({ rank, content, limit });
      const last = rows.at(-1);
      return {
        blobs: rows.map(storedBlob),
        next: rows.length < limit || last === undefined ? undefined : `${last.rank} ${last.content}`,
      };
    });
  }

  touch(uses: ReadonlyMap<Digest, number>): Promise<void> {
    return this.#connection.transaction((statements) => {
      const done = new Map<number, number>();
      for (const [digest, usedAt] of uses) this.#touchImage(statements, digest, Math.round(usedAt), done);
      if (uses.size > 0) this.#usedAt(statements, Math.round(Math.max(...uses.values())));
    });
  }

  #touchImage(statements: Statements, digest: Digest, usedAt: number, done: Map<number, number>): void {
    const root = statements.contentId.get(digestKey(digest));
    if (root === undefined) return;
    for (const row of statements.withListed.all({ root: root.id, limit: LISTED_LIMIT })) {
      if ((done.get(row.content) ?? -Infinity) >= usedAt) continue;
      done.set(row.content, usedAt);
      const blob = storedBlob(row);
      const next = { ...blob, ...this.#ranking.nextUse(blob, usedAt) };
      const rank = this.#ranking.rankOf(next, this.#floorAt(statements, usedAt));
      statements.use.run(next.usedAt, next.earlierAt ?? null, rank, row.content);
    }
  }

  latestUse(): Promise<number | undefined> {
    return this.#connection.run((statements) => statements.state.get(LATEST_USE)?.value);
  }

  /** Within a transaction. */
  #usedAt(statements: Statements, now: number): void {
    this.#latestUse ??= statements.state.get(LATEST_USE)?.value;
    if (this.#latestUse !== undefined && this.#latestUse >= now) return;
    this.#latestUse = now;
    statements.setState.run(LATEST_USE, now);
  }

  #floorAt(statements: Statements, now: number): number {
    this.#floor ??= statements.lowestRank.get()?.rank ?? now;
    return this.#floor;
  }

  oldestUse(after: number, limit: number): Promise<OldestUse> {
    return this.#connection.run((statements) => {
      const row = statements.oldestUse.get(after, limit);
      const isFull = row !== undefined && row.count === limit && row.last !== null;
      return { usedAt: row?.oldest ?? undefined, next: isFull ? (row.last ?? undefined) : undefined };
    });
  }

  sharing(after: number, limit: number): Promise<SharingPage> {
    return this.#connection.run((statements) => {
      const row = statements.sharing.get(after, limit);
      const isLast = (row?.count ?? 0) < limit;
      return {
        bytes: row?.bytes ?? 0,
        unsharedBytes: row?.unshared ?? 0,
        next: isLast ? undefined : (row?.last ?? undefined),
      };
    });
  }

  page(after: number, limit: number): Promise<BlobPage> {
    return this.#connection.run((statements) => {
      const rows = statements.page.all(after, limit);
      return { blobs: rows.map(storedBlob), next: rows.length < limit ? undefined : rows.at(-1)?.content };
    });
  }
}

function storeTotals(rows: readonly TotalColumns[]): StoreTotals {
  return {
    bytes: rows.reduce((sum, { bytes }) => sum + bytes, 0),
    blobs: rows.reduce((sum, { blobs }) => sum + blobs, 0),
    byUpstream: new Map(
      rows.flatMap(({ upstream, bytes, blobs }) =>
        upstream === null ? [] : [[upstream, { bytes, blobs }] as const],
      ),
    ),
  };
}

function optional(row: BlobColumns | undefined): StoredBlob | undefined {
  return row && storedBlob(row);
}

function storedBlob(row: BlobColumns): StoredBlob {
  return {
    digest: digestOfKey(row.digest),
    sizeBytes: row.size,
    kind: KINDS[row.kind] ?? 'layer',
    upstream: row.upstream ?? undefined,
    usedAt: row.used_at,
    earlierAt: row.earlier_at ?? undefined,
  };
}
