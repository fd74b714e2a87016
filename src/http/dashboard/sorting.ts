import type { SortLink } from './table.ts';

type Order = 'ascending' | 'descending';

export interface Sorted<K extends string> {
  readonly by: K;
  readonly order: Order;
}

/** What `?sort=` and `?order=` ask for; of what makes no sense, the default. @param columns each with the order it begins with */
export function orderOf<K extends string>(
  query: URLSearchParams,
  columns: Readonly<Record<K, Order>>,
  otherwise: NoInfer<K>,
): Sorted<K> {
  const asked = query.get('sort') ?? '';
  const by = (Object.keys(columns) as K[]).find((name) => name === asked) ?? otherwise;
  const order = query.get('order');
  return { by, order: order === 'asc' ? 'ascending' : order === 'desc' ? 'descending' : columns[by] };
}

/** Links for the heads of a table: to sort by another column, or the other way round. Paging begins anew. */
export function sortLinks<K extends string>(
  path: string,
  query: URLSearchParams,
  columns: Readonly<Record<K, Order>>,
  chosen: Sorted<K>,
): Readonly<Record<K, SortLink>> {
  const made = (Object.keys(columns) as K[]).map((name): [K, SortLink] => {
    const isChosen = name === chosen.by;
    const order = isChosen ? (chosen.order === 'ascending' ? 'descending' : 'ascending') : columns[name];
    const next = new URLSearchParams(query);
    next.delete('after');
    next.set('sort', name);
    next.set('order', order === 'ascending' ? 'asc' : 'desc');
    return [name, { href: `${path}?${next.toString()}`, ...(isChosen && { order: chosen.order }) }];
  });
  return Object.fromEntries(made) as Record<K, SortLink>;
}
