import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Digest } from '../oci/digest.ts';
import type { Reference, RepositoryName } from '../oci/reference.ts';
import type { Totals } from './stored-blobs.ts';
import { digestKey, digestOfKey } from './digest-key.ts';
import type {
  Forgotten,
  ImageFilter,
  StoredImages,
  ImagePage,
  ImageRow,
  DigestPage,
  ImageSizes,
  RepositoryRow,
} from './stored-images.ts';
import type { ImageColumns } from './image-statements.ts';
import type { IndexConnection } from './index-connection.ts';
import type { RepositoryKey } from './repository-key.ts';
import type { Statements } from './statements.ts';

/** Blobs looked at in one turn of the event loop: a few milliseconds. */
const NUMBERS_AT_ONCE = 2000;
/** Of what is pinned, in one turn of the event loop: images, and rows. */
const ROOTS_AT_ONCE = 20;
const ROWS_AT_ONCE = 1000;
/** Repositories that one page looks through: after evictions very many may hold nothing that is stored. */
const REPOSITORIES_AT_ONCE = 50;
/** More no image has. */
const CONTENTS_LIMIT = 5000;

export class SqliteImages implements StoredImages {
  concerns: ((key: RepositoryKey) => boolean) | undefined;
  readonly #connection: IndexConnection;
  #changes = 0;

  constructor(connection: IndexConnection) {
    this.#connection = connection;
  }

  get changes(): number {
    return this.#changes + this.#connection.lossCount;
  }

  /** For whoever writes tags and manifests. @param where absent: it concerns pins wherever it was */
  changed(where?: RepositoryKey): void {
    if (where === undefined || this.concerns?.(where) !== false) this.#changes += 1;
  }

  page(filter: ImageFilter, after: string | undefined, limit: number): Promise<ImagePage> {
    return this.#connection.run((statements) => {
      const images: ImageRow[] = [];
      let [number, content] = placeOf(after);
      for (let looked = 0; looked < REPOSITORIES_AT_ONCE; looked += 1) {
        // The repository that the page before ended in goes on where it ended.
        const [repository] = repositoriesOf(statements, filter, number - 1, 1);
        if (repository === undefined) return { images, next: undefined };
        if (repository.id !== number) content = 0;
        const rows = statements.images.all(repository.id, content, limit - images.length);
        images.push(...rows.map((row) => imageOf(statements, repository, row)));
        const last = rows.at(-1);
        if (images.length === limit && last !== undefined)
          return { images, next: `${repository.id} ${last.content}` };
        number = repository.id + 1;
        content = 0;
      }
      return { images, next: `${number} 0` };
    });
  }

  find(key: RepositoryKey, reference: Reference): Promise<ImageRow | undefined> {
    return this.#connection.run((statements) => {
      const id = this.#connection.repositoryId(key);
      if (id === undefined) return undefined;
      const repository = { id, upstream: key.upstream, name: key.repository };
      const names =
        'digest' in reference
          ? [digestKey(reference.digest)]
          : statements.tagContents.all(id, reference.tag).map(({ digest }) => digest);
      for (const name of names) {
        const row = statements.imageOfDigest.get(id, name);
        if (row !== undefined) return imageOf(statements, repository, row);
      }
      return undefined;
    });
  }

  sizes(digest: Digest): Promise<ImageSizes> {
    return this.#connection.run((statements) => {
      const root = this.#connection.contentId(digest) ?? 0;
      const row = statements.sizes.get({ root });
      return { bytes: row?.bytes ?? 0, exclusiveBytes: row?.exclusive ?? 0, blobs: row?.blobs ?? 0 };
    });
  }

  repositories(filter: ImageFilter, after: number, limit: number): Promise<readonly RepositoryRow[]> {
    return this.#connection.run((statements) =>
      repositoriesOf(statements, filter, after, limit).map(({ id, upstream, name }) => ({
        number: id,
        upstream,
        repository: name as RepositoryName,
      })),
    );
  }

  lastRepository(): Promise<number> {
    return this.#connection.run(({ lastRepository }) => lastRepository.get()?.id ?? 0);
  }

  forgetImage(key: RepositoryKey, reference: Reference): Promise<Forgotten | undefined> {
    this.changed();
    return this.#connection.transaction((statements) => this.#forgetImage(statements, key, reference));
  }

  wouldForget(key: RepositoryKey, reference: Reference): Promise<Forgotten | undefined> {
    return this.#connection.trial((statements) => this.#forgetImage(statements, key, reference));
  }

  #forgetImage(statements: Statements, key: RepositoryKey, reference: Reference): Forgotten | undefined {
    const repository = this.#connection.repositoryId(key);
    if (repository === undefined) return undefined;
    if ('digest' in reference) {
      const row = statements.imageOfDigest.get(repository, digestKey(reference.digest));
      if (row === undefined) return undefined;
      statements.deleteTagsOf.run(repository, row.content);
      return forgetClosure(statements, repository, row.content);
    }
    const meant = statements.tagContents.all(repository, reference.tag);
    if (meant.length === 0) return undefined;
    statements.deleteTag.run(repository, reference.tag, null);
    statements.deleteTagList.run(repository);
    // What has another tag, or is one platform of an index, stays.
    const untagged = meant.filter(
      ({ content }) =>
        statements.tagsOf.all(repository, content).length === 0 &&
        statements.listing.get(repository, content) === undefined,
    );
    return untagged
      .map(({ content }) => forgetClosure(statements, repository, content))
      .reduce(joined, { holdings: 0, unheld: [] });
  }

  heldOnlyBy(filter: ImageFilter, after: number): Promise<Totals & { readonly next: number | undefined }> {
    return this.#connection.run((statements) => {
      const last = statements.lastBlob.get()?.content ?? 0;
      const until = after + NUMBERS_AT_ONCE;
      const { bytes = 0, blobs = 0 } = statements.heldOnlyBy.get({ ...named(filter), after, until }) ?? {};
      return { bytes, blobs, next: until < last ? until : undefined };
    });
  }

  holders(digest: Digest, limit: number): Promise<readonly RepositoryKey[]> {
    return this.#connection.run(({ holders }) =>
      holders
        .all(digestKey(digest), limit)
        .map(({ upstream, name }) => ({ upstream, repository: name as RepositoryName })),
    );
  }

  forgetRepository(key: RepositoryKey, limit: number): Promise<Forgotten> {
    return this.#connection.transaction((statements) => {
      const repository = this.#connection.repositoryId(key);
      if (repository === undefined) return { holdings: 0, unheld: [] };
      this.changed();
      statements.deleteTagsOfRepository.run(repository);
      const rows = statements.someHoldings.all(repository, limit);
      if (rows.length < limit) {
        const forgotten = forgetHoldings(statements, repository, rows);
        // The rest (lists, referrers) goes with it.
        statements.deleteRepository.run(repository);
        this.#connection.forgetRepositoryId(key);
        return forgotten;
      }
      return forgetHoldings(statements, repository, rows);
    });
  }

  pins(): Promise<readonly string[]> {
    return this.#connection.run((statements) => statements.pins.all().map(({ pattern }) => pattern));
  }

  addPin(pattern: string): Promise<boolean> {
    this.changed();
    return this.#connection.run(({ pins, addPin }) => {
      const known = pins.all().map((row) => row.pattern);
      if (!known.includes(pattern)) this.#connection.copyPins([...known, pattern]);
      return addPin.run(pattern).changes > 0;
    });
  }

  removePin(pattern: string): Promise<boolean> {
    this.changed();
    return this.#connection.run(({ pins, removePin }) => {
      const known = pins.all().map((row) => row.pattern);
      if (!known.includes(pattern)) return false;
      this.#connection.copyPins(known.filter((other) => other !== pattern));
      return removePin.run(pattern).changes > 0;
    });
  }

  tagged(key: RepositoryKey): Promise<readonly { readonly tag: string; readonly digest: Digest }[]> {
    return this.#connection.run((statements) => {
      const repository = this.#connection.repositoryId(key);
      if (repository === undefined) return [];
      return statements.tagged
        .all(repository)
        .map(({ tag, digest }) => ({ tag, digest: digestOfKey(digest) }));
    });
  }

  contents(digest: Digest): Promise<readonly Digest[]> {
    return this.#connection.run((statements) => {
      const root = this.#connection.contentId(digest) ?? 0;
      return statements.storedContents
        .all({ root, limit: CONTENTS_LIMIT })
        .map((row) => digestOfKey(row.digest));
    });
  }

  held(key: RepositoryKey, after: number, limit: number): Promise<DigestPage> {
    return this.#connection.run(({ held }) => {
      const repository = this.#connection.repositoryId(key);
      return pageOf(repository === undefined ? [] : held.all(repository, after, limit), limit);
    });
  }

  manifests(key: RepositoryKey, after: number, limit: number): Promise<DigestPage> {
    return this.#connection.run(({ manifests }) => {
      const repository = this.#connection.repositoryId(key);
      return pageOf(repository === undefined ? [] : manifests.all(repository, after, limit), limit);
    });
  }

  /** What was pinned stays so until the new setting is whole: in between too much is pinned, and never too little. */
  async setPinned(roots: readonly Digest[]): Promise<Totals> {
    const generation = await this.#connection.run(
      ({ pinnedGeneration }) => (pinnedGeneration.get()?.generation ?? 0) + 1,
    );
    for (let from = 0; from < roots.length; from += ROOTS_AT_ONCE) {
      if (from > 0) await nextTurn();
      const some = roots.slice(from, from + ROOTS_AT_ONCE);
      await this.#connection.transaction(({ addPinned }) => {
        for (const digest of some) {
          const root = this.#connection.contentId(digest);
          if (root !== undefined) addPinned.run({ root, generation });
        }
      });
    }
    for (;;) {
      const removed = await this.#connection.run(
        ({ deleteOldPinned }) => deleteOldPinned.run({ generation, limit: ROWS_AT_ONCE }).changes,
      );
      if (removed === 0) break;
      await nextTurn();
    }
    return this.#pinnedTotals();
  }

  async #pinnedTotals(): Promise<Totals> {
    let [bytes, blobs] = [0, 0];
    for (let after: number | undefined = 0; after !== undefined;) {
      const from: number = after;
      const page = await this.#connection.run(({ pinnedPage }) =>
        pinnedPage.get({ after: from, limit: ROWS_AT_ONCE }),
      );
      bytes += page?.bytes ?? 0;
      blobs += page?.blobs ?? 0;
      after = page?.last ?? undefined;
      if (after !== undefined) await nextTurn();
    }
    return { bytes, blobs };
  }
}

function placeOf(after: string | undefined): [number, number] {
  const [repository = 0, content = 0] = (after ?? '').split(' ').map(Number);
  return [repository, content];
}

function pageOf(
  rows: readonly { readonly content: number; readonly digest: Buffer }[],
  limit: number,
): DigestPage {
  return {
    digests: rows.map(({ digest }) => digestOfKey(digest)),
    next: rows.length < limit ? undefined : rows.at(-1)?.content,
  };
}

interface RepositoryColumns {
  readonly id: number;
  readonly upstream: string;
  readonly name: string;
}

/** One that is named in full is looked up: there may be very many. */
function repositoriesOf(
  statements: Statements,
  filter: ImageFilter,
  after: number,
  limit: number,
): readonly RepositoryColumns[] {
  const { upstream, repository } = filter;
  if (upstream === undefined || repository === undefined)
    return statements.repositories.all({ ...named(filter), after, limit });
  const found = statements.repositoryId.get(upstream, repository);
  return found === undefined || found.id <= after || limit < 1
    ? []
    : [{ id: found.id, upstream, name: repository }];
}

function named({ upstream, repository }: ImageFilter): { upstream: string | null; name: string | null } {
  return { upstream: upstream ?? null, name: repository ?? null };
}

function imageOf(statements: Statements, repository: RepositoryColumns, row: ImageColumns): ImageRow {
  const tags = statements.tagsOf.all(repository.id, row.content);
  return {
    upstream: repository.upstream,
    repository: repository.name as RepositoryName,
    digest: digestOfKey(row.digest),
    mediaType: row.manifest_type,
    tags: tags.map(({ tag }) => tag),
    checkedAt: tags.map(({ checked_at: checkedAt }) => checkedAt),
    usedAt: row.used_at,
  };
}

/** What other images of the repository do not use either. */
function forgetClosure(statements: Statements, repository: number, root: number): Forgotten {
  return forgetHoldings(statements, repository, statements.exclusiveHoldings.all({ root, repository }));
}

function forgetHoldings(
  statements: Statements,
  repository: number,
  rows: readonly { readonly content: number }[],
): Forgotten {
  for (const { content } of rows) statements.deleteHolding.run(repository, content);
  const unheld = rows.flatMap(({ content }) => {
    const blob = statements.unheldBlob.get(content);
    return blob === undefined ? [] : [digestOfKey(blob.digest)];
  });
  return { holdings: rows.length, unheld };
}

function joined(one: Forgotten, other: Forgotten): Forgotten {
  return { holdings: one.holdings + other.holdings, unheld: [...one.unheld, ...other.unheld] };
}
