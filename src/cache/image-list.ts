import { setImmediate as nextTurn } from 'node:timers/promises';
import type { MetadataStore, RepositoryKey } from '../metadata/metadata-store.ts';
import type { ImageRow } from '../metadata/stored-images.ts';
import type { Pins } from './pins.ts';
import type { ImageEntry } from './store-events.ts';
import { StoreOperationError } from './store-operation-error.ts';
import type { ImageSelection } from './store-operations.ts';

/** Images in one call of the index. */
const PAGE_LIMIT = 16;

/** What is cached of a selection. */
export async function* listImages(
  metadata: MetadataStore,
  selection: ImageSelection,
  signal: AbortSignal,
): AsyncIterable<ImageRow> {
  const { images } = metadata;
  const { upstream, repository, reference } = selection;
  if (reference !== undefined) {
    const found = await images.find(keyOf(selection), reference);
    if (found === undefined) throw await notFound(metadata, selection);
    yield found;
    return;
  }
  let isEmpty = true;
  for (let after: string | undefined; ;) {
    const page = await images.page({ upstream, repository }, after, PAGE_LIMIT);
    for (const image of page.images) {
      isEmpty = false;
      yield image;
    }
    if (page.next === undefined) break;
    after = page.next;
    await nextTurn();
    signal.throwIfAborted();
  }
  if (isEmpty && upstream !== undefined) throw await notFound(metadata, selection);
}

/** The same with sizes; pins as of a refresh just before. */
export async function* describeImages(
  { metadata, pins }: { readonly metadata: MetadataStore; readonly pins: Pins },
  selection: ImageSelection,
  signal: AbortSignal,
): AsyncIterable<ImageEntry> {
  await pins.refresh();
  for await (const image of listImages(metadata, selection, signal)) {
    // What an image shares is found by walking all that it lists: some hundred rows, so one image at a time.
    const sizes = await metadata.images.sizes(image.digest);
    yield {
      ...image,
      tags: [...image.tags],
      checkedAt: [...image.checkedAt],
      ...sizes,
      pinned: pins.isPinned(image),
    };
    await nextTurn();
    signal.throwIfAborted();
  }
}

/** Of a selection with a repository. */
export function keyOf({ upstream, repository }: ImageSelection): RepositoryKey {
  if (upstream === undefined || repository === undefined)
    throw new StoreOperationError('invalid', 'an image is named with its upstream and its repository');
  return { upstream, repository };
}

/** As an operator writes it. */
export function printSelection({ upstream, repository, reference }: ImageSelection): string {
  const name = [upstream, repository].filter((part) => part !== undefined).join('/');
  if (reference === undefined) return name === '' ? 'everything' : name;
  return 'tag' in reference ? `${name}:${reference.tag}` : `${name}@${reference.digest}`;
}

/** What to say of a selection of which nothing is here. */
export async function notFound(
  metadata: MetadataStore,
  selection: ImageSelection,
): Promise<StoreOperationError> {
  return new StoreOperationError(
    'not-found',
    `nothing is cached of ${printSelection(selection)}${await hint(metadata, selection)}`,
  );
}

/** Names that were more likely meant: the tags of the repository. */
async function hint({ images }: MetadataStore, selection: ImageSelection): Promise<string> {
  if (selection.reference === undefined || !('tag' in selection.reference)) return '';
  const tags = (await images.tagged(keyOf(selection))).map(({ tag }) => tag);
  const some = [...new Set(tags)].slice(0, 10);
  return some.length === 0 ? '' : `; there is ${some.join(', ')}${tags.length > some.length ? ', …' : ''}`;
}
