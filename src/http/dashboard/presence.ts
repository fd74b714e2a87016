import { badge, bytes, type Content } from './formats.ts';

export interface Present {
  readonly isWhole: boolean;
  readonly isStored: boolean;
  readonly presentBytes: number;
  /** Absent: it is not known how much there is of it. */
  readonly bytes?: number | undefined;
}

/** How much of a platform is here, as two cells of a table: whether all of it, and its bytes. */
export function presence(row: Present): readonly [Content, Content] {
  const { isWhole, isStored, presentBytes } = row;
  const state = isStored ? badge('in part', 'warn') : badge('not cached', 'calm');
  return [
    isWhole ? badge('complete', 'good') : state,
    row.bytes === undefined ? bytes(presentBytes) : `${bytes(presentBytes)} of ${bytes(row.bytes)}`,
  ];
}
