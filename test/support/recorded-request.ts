import type { IncomingHttpHeaders } from 'node:http';

/** One request as a fake server got it, and how far its answer came. */
export interface RecordedRequest {
  readonly method: string;
  /** The request target as it was on the wire. */
  readonly target: string;
  /** The target before `?`, not decoded. */
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingHttpHeaders;
  /** Names and values in turn, as sent. */
  readonly rawHeaders: readonly string[];
  /** Of a POST, PUT or PATCH: the first 64 KiB as text. */
  body: string;
  /** Which connection of the server it came on, counted from 1. */
  readonly connection: number;
  /** Milliseconds on the monotonic clock. */
  readonly receivedAtMs: number;
  /** Status of the answer; absent as long as there is none. */
  status: number | undefined;
  /** Bytes of the answer's body written to the socket so far. */
  bodyBytes: number;
  /** True when the answer ended as it should; false while it lasts, and when it was cut or the other side left. */
  finished: boolean;
}

/** Which requests to count. Absent = any. */
export interface RequestFilter {
  readonly method?: string | undefined;
  /** Tested against the path without the query. */
  readonly path?: RegExp | undefined;
  readonly where?: ((request: RecordedRequest) => boolean) | undefined;
}

export function matchesRequest(request: RecordedRequest, filter: RequestFilter): boolean {
  if (filter.method !== undefined && filter.method !== request.method) return false;
  if (filter.path !== undefined && !filter.path.test(request.path)) return false;
  return filter.where?.(request) ?? true;
}
