import type { Content } from './formats.ts';

/** What a page is asked with. */
export interface PageRequest {
  readonly query: URLSearchParams;
  /** Milliseconds since 1970. */
  readonly now: number;
  /** Of the request: aborted when the client is gone. */
  readonly signal: AbortSignal;
}

/** One page: all of it is there when it is sent. */
export interface DashboardPage {
  readonly path: string;
  readonly title: string;
  /** A title that says more, of what was asked for. Absent: `title`. */
  readonly titleOf?: (query: URLSearchParams) => string | undefined;
  /** A page that others lead to has no place in the navigation. */
  readonly isHidden?: boolean;
  /** The page of the navigation that it belongs to, where it is not itself one. */
  readonly section?: string;
  /** Name of a script that it needs besides. */
  readonly script?: 'live.js';
  /** @throws StoreOperationError: its sentence is shown in place of the page */
  readonly content: (request: PageRequest) => Promise<Content>;
}
