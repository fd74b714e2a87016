import { setImmediate as nextTurn } from 'node:timers/promises';
import type { MetadataStore, RepositoryKey } from '../metadata/metadata-store.ts';
import type { Totals } from '../metadata/stored-blobs.ts';
import type { ImageRow } from '../metadata/stored-images.ts';
import type { Digest } from '../oci/digest.ts';
import {
  type ImagePattern,
  matchesRepository,
  matchesTag,
  storedImagePattern,
} from '../oci/image-pattern.ts';
import type { RepositoryName } from '../oci/reference.ts';

/** Rows of the index that are asked for at a time, each time in a turn of the event loop of its own. */
const PAGE_LIMIT = 500;

export interface PinsParts {
  readonly metadata: MetadataStore;
  /** Those of the configuration. */
  readonly configured: readonly ImagePattern[];
}

/**
 * Which images are never evicted: those of `cache.pins`, and those that `entrepot pin` was told. The index is told all
 * that they list, and gives none of it as a victim. Patterns, tags and manifests may change at any time, so whoever is
 * about to take victims refreshes first, and looks at `isCurrent` before each.
 */
export class Pins {
  readonly #parts: PinsParts;
  #refreshing: Promise<void> | undefined;
  #seen: number | undefined;
  #isEmpty = false;
  #patterns: readonly ImagePattern[];
  #totals: Totals = { bytes: 0, blobs: 0 };
  #configured: readonly ImagePattern[];

  constructor(parts: PinsParts) {
    this.#parts = parts;
    this.#configured = parts.configured;
    this.#patterns = parts.configured;
    parts.metadata.images.concerns = (key) =>
      [this.#patterns, this.#configured].some(
        (patterns) =>
          patterns.some(({ digest }) => digest !== undefined) ||
          patterns.some((pattern) => matchesRepository(pattern, key)),
      );
  }

  /** False: something may have become pinned, or is no longer, since the last refresh. Costs nothing. */
  get isCurrent(): boolean {
    return this.#seen === this.#parts.metadata.images.changes;
  }

  /** Those of the configuration are others now: known to the index with the next refresh, which is due. */
  configure(configured: readonly ImagePattern[]): void {
    this.#configured = configured;
    this.#seen = undefined;
  }

  /** Of what is stored of pinned images, as of the last refresh. */
  get totals(): Totals {
    return this.#totals;
  }

  /** Tells the index what is pinned now, unless nothing changed. Calls at the same time share the work. @throws MetadataError */
  async refresh(): Promise<void> {
    // What changed while it was on its way is in it or not: then it is done once more.
    while (!this.isCurrent) await (this.#refreshing ??= this.#refreshOnce());
  }

  /** Of the configuration first, then those of the index; what a newer entrepot wrote there and we cannot read is passed over. */
  async patterns(): Promise<readonly { readonly pattern: ImagePattern; readonly isConfigured: boolean }[]> {
    const { metadata } = this.#parts;
    const configured = this.#configured;
    const stored = (await metadata.images.pins()).flatMap((text) => storedImagePattern(text) ?? []);
    return [
      ...configured.map((pattern) => ({ pattern, isConfigured: true })),
      ...stored.map((pattern) => ({ pattern, isConfigured: false })),
    ];
  }

  /** As of the last refresh. */
  isPinned({ upstream, repository, digest, tags }: ImageRow): boolean {
    return this.#patterns.some((pattern) => {
      if (pattern.digest !== undefined) return pattern.digest === digest;
      if (!matchesRepository(pattern, { upstream, repository })) return false;
      return pattern.tag === undefined || tags.some((tag) => matchesTag(pattern, tag));
    });
  }

  async #refreshOnce(): Promise<void> {
    const { images } = this.#parts.metadata;
    try {
      const changes = images.changes;
      const configured = this.#configured;
      const patterns = (await this.patterns()).map(({ pattern }) => pattern);
      // From here on: what changes while the rest is looked up is told by these.
      this.#patterns = patterns;
      // Without any pin nothing need be looked at, however much is pulled.
      if (patterns.length > 0 || !this.#isEmpty) {
        const roots = new Set<Digest>();
        for (const pattern of patterns) await this.#addRoots(pattern, roots);
        this.#totals = await images.setPinned([...roots]);
        this.#isEmpty = roots.size === 0;
      }
      if (configured === this.#configured) this.#seen = changes;
    } finally {
      this.#refreshing = undefined;
    }
  }

  async #addRoots(pattern: ImagePattern, roots: Set<Digest>): Promise<void> {
    if (pattern.digest !== undefined) {
      roots.add(pattern.digest);
      return;
    }
    for await (const key of this.#repositories(pattern)) await this.#addRepository(pattern, key, roots);
  }

  async *#repositories({ upstream, repository }: ImagePattern): AsyncIterable<RepositoryKey> {
    const { images } = this.#parts.metadata;
    if (!repository.text.includes('*')) {
      yield { upstream, repository: repository.text as RepositoryName };
      return;
    }
    for (let after = 0; ;) {
      const page = await images.repositories({ upstream }, after, PAGE_LIMIT);
      for (const key of page) if (repository.expression.test(key.repository)) yield key;
      const last = page.at(-1);
      if (last === undefined) return;
      after = last.number;
      await nextTurn();
    }
  }

  async #addRepository(pattern: ImagePattern, key: RepositoryKey, roots: Set<Digest>): Promise<void> {
    const { images } = this.#parts.metadata;
    for (const { tag, digest } of await images.tagged(key)) if (matchesTag(pattern, tag)) roots.add(digest);
    if (pattern.tag !== undefined) return;
    // Also what is pulled by digest alone, as orchestrators do.
    for (let after = 0; ;) {
      const { digests, next } = await images.manifests(key, after, PAGE_LIMIT);
      for (const digest of digests) roots.add(digest);
      if (next === undefined) return;
      after = next;
      await nextTurn();
    }
  }
}
