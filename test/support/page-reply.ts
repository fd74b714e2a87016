import type { RecordedRequest } from './recorded-request.ts';
import type { Reply } from './reply.ts';

/** A list and how it is to be cut into pages. */
export interface Paging<T> {
  readonly request: RecordedRequest;
  readonly entries: readonly T[];
  /** What `last` names an entry by. */
  readonly keyOf: (entry: T) => string;
  /** Largest page. */
  readonly size: number;
  /** Put before the path in `Link`; empty for a relative one. */
  readonly origin: string;
}

/** The page that `n` and `last` ask for, with a `Link` to the next one as long as there is more. */
export function pageReply<T>(
  { request, entries, keyOf, size, origin }: Paging<T>,
  print: (page: readonly T[], link: string | undefined) => Reply,
): Reply {
  const asked = request.query.get('n');
  const last = request.query.get('last');
  const count = Math.min(size, asked === null ? Infinity : Number(asked));
  const begin = last === null ? 0 : entries.findIndex((entry) => keyOf(entry) === last) + 1;
  const page = entries.slice(begin, begin + count);
  const final = page.at(-1);
  if (final === undefined || begin + page.length >= entries.length) return print(page, undefined);
  const next = new URLSearchParams(request.query);
  next.set('n', String(count));
  next.set('last', keyOf(final));
  return print(page, `<${origin}${request.path}?${next.toString()}>; rel="next"`);
}
