import { setTimeout as pause } from 'node:timers/promises';
import type { Clock } from '../clock.ts';
import type { MetadataStore } from '../metadata/metadata-store.ts';
import type { ImageRow } from '../metadata/stored-images.ts';
import type { Digest } from '../oci/digest.ts';
import type { RepositoryName } from '../oci/reference.ts';
import type { ImageQuery } from './catalogue-operations.ts';
import type { ImagePage, ImageSummary } from './image-events.ts';
import {
  type Compare,
  countUpTo,
  imageOrder,
  type OrderedImage,
  parsePlace,
  printPlace,
} from './image-order.ts';
import type { Pins } from './pins.ts';
import { sortedInSlices } from './sliced-sort.ts';
import { Slices } from './slices.ts';

export interface ImageCatalogueParts {
  readonly metadata: MetadataStore;
  readonly pins: Pins;
  readonly clock: Clock;
}

/** Images that are known; of more the rest is left out. Measured: 600 bytes each with two orders, so 150 MB at most. */
const IMAGE_LIMIT = 250_000;
/** Of an image, that can be searched for and are shown. */
const TAGS_KEPT = 20;
/** Images in one call of the index. */
const PAGE_ROWS = 8;
/** What is being gathered rests so long after each slice: half of the time is left to those who pull. */
const REST_MS = 4;
/** Nothing is looked through again sooner, nor sooner than `REUSE_FACTOR` times what it took. */
const LEAST_AGE_MS = 250;
const REUSE_FACTOR = 3;
/** What takes no longer is waited for. */
const QUICK_MS = 500;
/** When nothing is known yet it is waited so long; then what was found so far must do. */
const FIRST_WAIT_MS = 1_000;
/** Kept so long when nobody looks. */
const IDLE_MS = 10 * 60_000;
const ORDERS_KEPT = 2;
/** While images are still being looked through an order is good for so long: putting 200,000 in order takes a second. */
const PARTIAL_ORDER_MS = 5_000;

interface CatalogueImage extends OrderedImage {
  readonly upstream: string;
  readonly repository: RepositoryName;
  readonly digest: Digest;
  bytes: number;
  exclusiveBytes: number;
}

interface Ordered {
  readonly images: readonly CatalogueImage[];
  /** When it was made, on the monotonic clock; absent: of all images, with their sizes. */
  readonly partialAt: number | undefined;
}

interface Catalogue {
  readonly images: CatalogueImage[];
  readonly orders: Map<string, Ordered>;
  readonly asOf: number;
  /** All images, with their sizes. */
  isWhole: boolean;
}

/**
 * All images with their sizes, in memory and in bounds, gathered when somebody looks at pages of them, in slices that
 * hold nobody up: 200,000 images take a minute or two. Order and totals are of that time; what a page shows is looked up
 * again. Nothing of it is kept when nobody looks.
 */
export class ImageCatalogue {
  readonly #parts: ImageCatalogueParts;
  readonly #closing = new AbortController();
  #latest: { readonly catalogue: Catalogue; readonly tookMs: number } | undefined;
  #gathering: { readonly catalogue: Catalogue; readonly work: Promise<void> } | undefined;
  #idle: NodeJS.Timeout | undefined;

  constructor(parts: ImageCatalogueParts) {
    this.#parts = parts;
  }

  /** @throws MetadataError, StoreOperationError `invalid`, the signal's reason */
  async page(query: ImageQuery, signal: AbortSignal): Promise<ImagePage> {
    const { sort, order = sort === 'name' ? 'asc' : 'desc', limit, after } = query;
    const place = after === undefined ? undefined : parsePlace(after, sort, order);
    const { clock } = this.#parts;
    const catalogue = await this.#current(signal);
    const slices = new Slices(clock, AbortSignal.any([signal, this.#closing.signal]));
    const compare = imageOrder(sort, order);
    const ordered = await this.#ordered(catalogue, `${sort} ${order}`, compare, slices);
    const from = place === undefined ? 0 : countUpTo(ordered, place, compare);
    const { chosen, total, isLast } = await choose(ordered, { query, from, limit }, slices);
    const last = chosen.at(-1);
    return {
      images: await this.#described(chosen, slices),
      total,
      ...(!isLast && last !== undefined && { next: printPlace(last, sort, order) }),
      asOf: catalogue.asOf,
      isWhole: catalogue.isWhole,
    };
  }

  /** Ends what is being gathered. */
  async close(): Promise<void> {
    clearTimeout(this.#idle);
    this.#closing.abort();
    await this.#gathering?.work.catch(() => undefined);
    this.#latest = undefined;
  }

  async #current(signal: AbortSignal): Promise<Catalogue> {
    this.#stayAwake();
    const { clock } = this.#parts;
    const known = this.#latest;
    const age = known === undefined ? Infinity : clock.now() - known.catalogue.asOf;
    const tookMs = known?.tookMs ?? 0;
    if (age >= 0 && age < Math.max(LEAST_AGE_MS, REUSE_FACTOR * tookMs)) return this.#known();
    const { work } = (this.#gathering ??= this.#gather());
    if (known === undefined) await Promise.race([work, pause(FIRST_WAIT_MS, undefined, { ref: false })]);
    else if (tookMs <= QUICK_MS) await work;
    signal.throwIfAborted();
    return this.#known();
  }

  #known(): Catalogue {
    const catalogue = this.#latest?.catalogue ?? this.#gathering?.catalogue;
    return catalogue ?? { images: [], orders: new Map(), asOf: this.#parts.clock.now(), isWhole: false };
  }

  #gather(): { readonly catalogue: Catalogue; readonly work: Promise<void> } {
    const { clock } = this.#parts;
    const asOf = clock.now();
    const begunAt = clock.monotonic();
    const catalogue: Catalogue = { images: [], orders: new Map(), asOf, isWhole: false };
    const gather = async (): Promise<void> => {
      try {
        await this.#fill(catalogue);
        this.#latest = { catalogue, tookMs: clock.monotonic() - begunAt };
      } finally {
        this.#gathering = undefined;
      }
    };
    const work = gather();
    // Whoever does not wait for it hears of it from the next page.
    work.catch(() => undefined);
    return { catalogue, work };
  }

  async #fill(catalogue: Catalogue): Promise<void> {
    const { metadata, clock } = this.#parts;
    const slices = new Slices(clock, this.#closing.signal, REST_MS);
    const { images } = catalogue;
    for (let after: string | undefined; images.length < IMAGE_LIMIT;) {
      const page = await metadata.images.page({}, after, PAGE_ROWS);
      for (const row of page.images) images.push(catalogued(row, images.at(-1)));
      if (slices.isOver) await slices.rest();
      after = page.next;
      if (after === undefined) break;
    }
    for (const image of images) {
      const { bytes, exclusiveBytes } = await metadata.images.sizes(image.digest);
      image.bytes = bytes;
      image.exclusiveBytes = exclusiveBytes;
      if (slices.isOver) await slices.rest();
    }
    catalogue.isWhole = images.length < IMAGE_LIMIT;
  }

  async #ordered(
    { images, orders, isWhole }: Catalogue,
    name: string,
    compare: Compare,
    slices: Slices,
  ): Promise<readonly CatalogueImage[]> {
    const { clock } = this.#parts;
    const known = orders.get(name);
    const isGood = (at: number | undefined) => at === undefined || clock.monotonic() - at < PARTIAL_ORDER_MS;
    if (known !== undefined && isGood(known.partialAt) && (known.partialAt === undefined || !isWhole))
      return known.images;
    const sorted = await sortedInSlices(images, compare, slices);
    orders.delete(name);
    for (const oldest of [...orders.keys()].slice(0, Math.max(0, orders.size + 1 - ORDERS_KEPT)))
      orders.delete(oldest);
    orders.set(name, { images: sorted, partialAt: isWhole ? undefined : clock.monotonic() });
    return sorted;
  }

  /** As they are now: what is gone is left out. */
  async #described(chosen: readonly CatalogueImage[], slices: Slices): Promise<ImageSummary[]> {
    const { metadata, pins } = this.#parts;
    await pins.refresh();
    const described: ImageSummary[] = [];
    for (const { upstream, repository, digest } of chosen) {
      const row = await metadata.images.find({ upstream, repository }, { digest });
      if (row !== undefined) {
        const sizes = await metadata.images.sizes(digest);
        described.push({
          upstream,
          repository,
          digest,
          mediaType: row.mediaType,
          tags: row.tags.slice(0, TAGS_KEPT),
          tagCount: row.tags.length,
          ...sizes,
          usedAt: row.usedAt,
          pinned: pins.isPinned(row),
        });
      }
      if (slices.isOver) await slices.rest();
    }
    return described;
  }

  #stayAwake(): void {
    clearTimeout(this.#idle);
    this.#idle = setTimeout(() => (this.#latest = undefined), IDLE_MS).unref();
  }
}

function catalogued(row: ImageRow, previous: CatalogueImage | undefined): CatalogueImage {
  const { upstream, repository, digest, usedAt } = row;
  // Images come repository by repository: their names are kept once.
  const isSame = previous?.upstream === upstream && previous.repository === repository;
  const names = isSame ? previous : { upstream, repository, label: `${upstream}/${repository}` };
  return {
    upstream: names.upstream,
    repository: names.repository,
    label: names.label,
    digest,
    tags: row.tags.length <= TAGS_KEPT ? row.tags : row.tags.slice(0, TAGS_KEPT),
    usedAt,
    bytes: 0,
    exclusiveBytes: 0,
  };
}

interface Choice {
  readonly query: ImageQuery;
  /** Images before it are on other pages. */
  readonly from: number;
  readonly limit: number;
}

async function choose(
  ordered: readonly CatalogueImage[],
  { query, from, limit }: Choice,
  slices: Slices,
): Promise<{ readonly chosen: readonly CatalogueImage[]; readonly total: number; readonly isLast: boolean }> {
  const fits = filterOf(query);
  if (fits === undefined) {
    const chosen = ordered.slice(from, from + limit);
    return { chosen, total: ordered.length, isLast: from + limit >= ordered.length };
  }
  const chosen: CatalogueImage[] = [];
  let [total, later] = [0, 0];
  for (const [at, image] of ordered.entries()) {
    if (at % 512 === 0 && slices.isOver) await slices.rest();
    if (!fits(image)) continue;
    total += 1;
    if (at < from) continue;
    if (chosen.length < limit) chosen.push(image);
    else later += 1;
  }
  return { chosen, total, isLast: later === 0 };
}

function filterOf({ search = '', upstream }: ImageQuery): ((image: CatalogueImage) => boolean) | undefined {
  const text = search.trim().toLowerCase();
  if (text === '' && upstream === undefined) return undefined;
  return (image) => {
    if (upstream !== undefined && image.upstream !== upstream) return false;
    if (image.label.includes(text) || image.digest.includes(text)) return true;
    return image.tags.some((tag) => `${image.label}:${tag.toLowerCase()}`.includes(text));
  };
}
