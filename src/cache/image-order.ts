import { StoreOperationError } from './store-operation-error.ts';
import type { ImageOrder } from './catalogue-operations.ts';

/** What images are put in order by. */
export interface OrderedImage {
  /** `upstream/repository`. */
  readonly label: string;
  readonly digest: string;
  /** The first ones. */
  readonly tags: readonly string[];
  readonly bytes: number;
  readonly exclusiveBytes: number;
  readonly usedAt: number;
}

export type Direction = 'asc' | 'desc';
export type Compare = (one: OrderedImage, other: OrderedImage) => number;

/** No two images are equal. What is equal but for the name is in the order of names. */
export function imageOrder(sort: ImageOrder, direction: Direction): Compare {
  const sign = direction === 'asc' ? 1 : -1;
  switch (sort) {
    case 'name':
      return (one, other) => sign * byName(one, other);
    case 'size':
      return (one, other) => sign * (one.bytes - other.bytes) || byName(one, other);
    case 'exclusive':
      return (one, other) => sign * (one.exclusiveBytes - other.exclusiveBytes) || byName(one, other);
    case 'used':
      return (one, other) => sign * (one.usedAt - other.usedAt) || byName(one, other);
  }
}

function byName(one: OrderedImage, other: OrderedImage): number {
  return (
    compareText(one.label, other.label) ||
    compareText(one.tags[0] ?? '', other.tags[0] ?? '') ||
    compareText(one.digest, other.digest)
  );
}

function compareText(one: string, other: string): number {
  if (one === other) return 0;
  return one < other ? -1 : 1;
}

/** Where a page ended, as text that means nothing to others. It holds all that the order goes by. */
export function printPlace(image: OrderedImage, sort: ImageOrder, direction: Direction): string {
  const { label, digest, tags, bytes, exclusiveBytes, usedAt } = image;
  const place = [sort, direction, label, tags[0] ?? '', digest, bytes, exclusiveBytes, usedAt];
  return Buffer.from(JSON.stringify(place)).toString('base64url');
}

/** @throws StoreOperationError `invalid` for what is no place in this order */
export function parsePlace(text: string, sort: ImageOrder, direction: Direction): OrderedImage {
  let place: unknown;
  try {
    place = JSON.parse(Buffer.from(text, 'base64url').toString());
  } catch {
    place = undefined;
  }
  const fields: readonly unknown[] = Array.isArray(place) ? place : [];
  const [ofSort, ofDirection, label, tag, digest, bytes, exclusiveBytes, usedAt] = fields;
  const numbers = [bytes, exclusiveBytes, usedAt].filter((value) => typeof value === 'number');
  if (
    ofSort !== sort ||
    ofDirection !== direction ||
    typeof label !== 'string' ||
    typeof tag !== 'string' ||
    typeof digest !== 'string' ||
    numbers.length !== 3
  )
    throw new StoreOperationError(
      'invalid',
      'after: accepted is `next` of the page before, in the same order',
    );
  const [size = 0, exclusive = 0, used = 0] = numbers;
  return { label, tags: [tag], digest, bytes: size, exclusiveBytes: exclusive, usedAt: used };
}

/** Of images in order: how many are at that place or before it. */
export function countUpTo(images: readonly OrderedImage[], place: OrderedImage, compare: Compare): number {
  let [low, high] = [0, images.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    const image = images[middle];
    if (image !== undefined && compare(image, place) <= 0) low = middle + 1;
    else high = middle;
  }
  return low;
}
