import type { Digest } from '../oci/digest.ts';
import type { ContentKind } from './stored-blobs.ts';
import { isDiskFull, type OpenedDatabase, translated } from './database.ts';
import { digestKey } from './digest-key.ts';
import { MetadataError } from './metadata-error.ts';
import type { RepositoryKey } from './repository-key.ts';
import { recentEntries } from '../recent-entries.ts';
import { prepareStatements, type Statements } from './statements.ts';

/** As `contents.kind` has them: a digest that is listed in several ways counts as the last of these. */
export const KINDS: readonly ContentKind[] = ['layer', 'config', 'manifest', 'index'];

const REPOSITORY_IDS_KEPT = 10_000;

/**
 * The one connection that writes the index, with its statements. One that turns out damaged while it is used is moved
 * aside, never deleted, and begun anew: the call that found out fails, the next one finds an empty index.
 */
export class IndexConnection {
  onLost: ((setAside: string) => void) | undefined;
  /** How often the index was lost while it was used. */
  lossCount = 0;
  #opened: OpenedDatabase;
  #statements: Statements;
  #isReconciled: boolean;
  /** Whether it is written down that it is in use: on a full disk not before there is room for anything. */
  #hasBegun = false;
  readonly #repositoryIds = recentEntries<string, number>(REPOSITORY_IDS_KEPT);
  readonly #upstreamIds = new Map<string, number>();

  constructor(opened: OpenedDatabase) {
    this.#opened = opened;
    this.#statements = prepareStatements(opened.database);
    this.#isReconciled = this.#statements.state.get(FILES_AGREE)?.value === 1;
    this.#begin();
    this.#bringBackPins();
  }

  get statements(): Statements {
    return this.#statements;
  }

  get needsReconcile(): boolean {
    return !this.#isReconciled;
  }

  reconciled(): void {
    this.#isReconciled = true;
  }

  /** Statements run at once; what they throw becomes the promise's rejection, a MetadataError. */
  async run<T>(work: (statements: Statements) => T): Promise<T> {
    try {
      if (!this.#hasBegun) this.#begin();
      return work(this.#statements);
    } catch (cause) {
      const error = translated(cause);
      if (error.reason === 'damaged') this.#beginAnew();
      throw error;
    }
  }

  /** As `run`, all or nothing. */
  transaction<T>(work: (statements: Statements) => T): Promise<T> {
    return this.run((statements) => this.#opened.database.transaction(() => work(statements))());
  }

  /** As `transaction`, and then all of it is taken back. */
  trial<T>(work: (statements: Statements) => T): Promise<T> {
    return this.run((statements) => {
      const { database } = this.#opened;
      database.exec('BEGIN');
      try {
        return work(statements);
      } finally {
        if (database.inTransaction) database.exec('ROLLBACK');
      }
    });
  }

  /** Afterwards nothing may be asked. Remembers whether files and rows agree. */
  close(): void {
    if (!this.#opened.database.open) return;
    try {
      this.#setFilesAgree(this.#isReconciled);
    } finally {
      this.#opened.database.close();
    }
  }

  #begin(): void {
    this.#hasBegun = this.#setFilesAgree(false);
  }

  /** @returns whether there was room to say so */
  #setFilesAgree(agree: boolean): boolean {
    const { database, synchronous } = this.#opened;
    try {
      // Durable at once: after a power cut the index must not say that it was closed.
      database.exec('PRAGMA synchronous = FULL');
      this.#statements.setState.run(FILES_AGREE, agree ? 1 : 0);
      // In the file itself: a log that is lost or destroyed must not bring back what was said before.
      database.exec('PRAGMA wal_checkpoint(TRUNCATE)');
      return true;
    } catch (cause) {
      if (isDiskFull(cause)) return false;
      throw cause;
    } finally {
      database.exec(`PRAGMA synchronous = ${synchronous}`);
    }
  }

  /** Says once more, beside the index, what is pinned: before the row, so that a pin that was made is never lost. */
  copyPins(patterns: readonly string[]): void {
    try {
      this.#opened.pinCopy.write(patterns);
    } catch (cause) {
      const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'unknown';
      const isFull = code === 'ENOSPC' || code === 'EDQUOT';
      throw new MetadataError(isFull ? 'full' : 'failed', `the copy of the pins cannot be written: ${code}`, {
        cause,
      });
    }
  }

  /** An index that begins empty has lost its pins, unless there were none. */
  #bringBackPins(): void {
    if (!this.#hasBegun || this.#statements.pins.get() !== undefined) return;
    for (const pattern of this.#opened.pinCopy.read() ?? []) this.#statements.addPin.run(pattern);
  }

  #beginAnew(): void {
    this.#repositoryIds.clear();
    this.#upstreamIds.clear();
    this.#isReconciled = false;
    this.lossCount += 1;
    this.#opened = this.#opened.beginAnew();
    this.#statements = prepareStatements(this.#opened.database);
    this.#begin();
    this.#bringBackPins();
    if (this.#opened.setAside !== undefined) this.onLost?.(this.#opened.setAside);
  }

  // --- numbers ------------------------------------------------------------------------------------------------------

  repositoryId({ upstream, repository }: RepositoryKey): number | undefined {
    const key = `${upstream} ${repository}`;
    const kept = this.#repositoryIds.get(key);
    if (kept !== undefined) return kept;
    const id = this.#statements.repositoryId.get(upstream, repository)?.id;
    if (id !== undefined) this.#repositoryIds.set(key, id);
    return id;
  }

  /** Within a transaction: the id is not remembered, since the transaction may yet be rolled back. */
  addRepository(key: RepositoryKey): number {
    const known = this.repositoryId(key);
    if (known !== undefined) return known;
    return Number(this.#statements.addRepository.run(key.upstream, key.repository).lastInsertRowid);
  }

  forgetRepositoryId({ upstream, repository }: RepositoryKey): void {
    this.#repositoryIds.delete(`${upstream} ${repository}`);
  }

  /** Within a transaction, as `addRepository`. */
  addUpstream(name: string): number {
    const known = this.#upstreamIds.get(name) ?? this.#statements.upstreamId.get(name)?.id;
    if (known === undefined) return Number(this.#statements.addUpstream.run(name).lastInsertRowid);
    this.#upstreamIds.set(name, known);
    return known;
  }

  /** Within a transaction. The content's number; what it is known to be is raised to `kind`, never lowered. */
  addContent(digest: Digest, kind: ContentKind): number {
    const key = digestKey(digest);
    const wanted = KINDS.indexOf(kind);
    const known = this.#statements.contentId.get(key);
    if (known === undefined) return Number(this.#statements.addContent.run(key, wanted).lastInsertRowid);
    if (known.kind < wanted) this.#statements.raiseKind.run(wanted, known.id);
    return known.id;
  }

  contentId(digest: Digest): number | undefined {
    return this.#statements.contentId.get(digestKey(digest))?.id;
  }
}

/** Key of `state`: 1 after a clean end when every file had its row and every row its file. */
const FILES_AGREE = 'files_agree';
