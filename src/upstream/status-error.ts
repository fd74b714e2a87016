import { parseRetryAfter } from './retry-after.ts';
import type { TransportResponse } from './exchange.ts';
import { UpstreamError } from './upstream-error.ts';

export interface StatusFacts {
  /** No credentials are configured: 401 and 403 then mean absent or private, which registries do not tell apart. */
  readonly anonymous: boolean;
  /** Where the credentials stand in the configuration. */
  readonly authKeyPath: string;
  /** 401 and 403 are also said of what does not exist, to whom has credentials. */
  readonly hidesMissing: boolean;
  /** Set for an answer to a blob request by another host than the upstream, to which our credentials mean nothing. */
  readonly storage: boolean;
  /** Wall time, for `Retry-After` as a date. */
  readonly nowMs: number;
}

/** The error for an answer that is not what was asked for, by its status alone. */
export function statusError(
  response: TransportResponse,
  { anonymous, authKeyPath, hidesMissing, storage, nowMs }: StatusFacts,
): UpstreamError {
  const { status } = response;
  const { host } = response.url;
  const answered = `${host} answered ${status}`;
  const retryAfterMs = parseRetryAfter(response.headers.one('retry-after'), nowMs);
  if (status === 404) return new UpstreamError('not-found', answered, { status });
  if (status === 429) return new UpstreamError('rate-limited', answered, { status, retryAfterMs });
  if (status >= 500 && status !== 501)
    return new UpstreamError('unavailable', answered, { status, retryAfterMs });
  if (status === 401 || status === 403) {
    // An expired or refused signature says nothing about the blob.
    if (storage) return new UpstreamError('unavailable', answered, { status });
    if (anonymous) return new UpstreamError('not-found', answered, { status });
    const meaning = hidesMissing ? ', which it also says of what does not exist' : '';
    const message = `${answered} to the credentials under ${authKeyPath}${meaning}`;
    return new UpstreamError('denied', message, { status });
  }
  return new UpstreamError('protocol', answered, { status });
}
