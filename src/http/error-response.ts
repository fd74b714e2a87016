import { ContentError } from '../content/content-error.ts';
import { MetadataError } from '../metadata/metadata-error.ts';
import { OciError, type OciErrorCode } from '../oci/error.ts';
import { PullThroughError } from '../pull-through/pull-through-error.ts';
import { UpstreamError } from '../upstream/upstream-error.ts';

/** What was asked for: decides which code says that it is not there. */
export type AskedFor = 'manifest' | 'blob' | 'tags' | 'referrers' | 'base' | 'other';

export interface ErrorAnswer {
  readonly status: number;
  readonly code: OciErrorCode;
  readonly message: string;
  readonly retryAfterSeconds?: number | undefined;
  /** True when it is our own fault: worth a line in the log. */
  readonly isUnexpected: boolean;
}

/** How long a client should leave an upstream alone that said nothing about it. */
const RETRY_AFTER_SECONDS = 5;

const NOT_FOUND_CODES: Record<AskedFor, OciErrorCode> = {
  manifest: 'MANIFEST_UNKNOWN',
  blob: 'BLOB_UNKNOWN',
  tags: 'NAME_UNKNOWN',
  // Not NAME_UNKNOWN: ORAS takes that for an error, and any other 404 for "use the fall-back tag".
  referrers: 'MANIFEST_UNKNOWN',
  base: 'NAME_UNKNOWN',
  other: 'UNSUPPORTED',
};

/** The one place where errors become HTTP. An upstream's challenge never passes: a client would answer it to us. */
export function errorAnswer(error: unknown, askedFor: AskedFor): ErrorAnswer {
  if (error instanceof OciError) {
    const status = error.code === 'UNSUPPORTED' ? 405 : 400;
    return { status, code: error.code, message: error.message, isUnexpected: false };
  }
  if (error instanceof UpstreamError) return upstreamAnswer(error, askedFor);
  if (error instanceof PullThroughError) return pullThroughAnswer(error);
  if (error instanceof ContentError || error instanceof MetadataError) {
    return unavailable('the cache could not serve this', true);
  }
  return { status: 500, code: 'UNKNOWN', message: 'entrepot failed; its log says why', isUnexpected: true };
}

function upstreamAnswer(error: UpstreamError, askedFor: AskedFor): ErrorAnswer {
  const { message, retryAfterMs } = error;
  const retryAfterSeconds = Math.max(1, Math.ceil((retryAfterMs ?? RETRY_AFTER_SECONDS * 1000) / 1000));
  switch (error.reason) {
    case 'not-found':
    // Not there as far as can be known here: clients go on to the next mirror, or to the registry itself.
    case 'offline':
      return { status: 404, code: NOT_FOUND_CODES[askedFor], message, isUnexpected: false };
    case 'denied':
      return { status: 403, code: 'DENIED', message, isUnexpected: false };
    case 'rate-limited':
      return { status: 429, code: 'TOOMANYREQUESTS', message, retryAfterSeconds, isUnexpected: false };
    case 'timeout':
      return { status: 504, code: 'UNAVAILABLE', message, retryAfterSeconds, isUnexpected: false };
    case 'unavailable':
      return { status: 503, code: 'UNAVAILABLE', message, retryAfterSeconds, isUnexpected: false };
    case 'protocol':
    case 'refused':
      return { status: 502, code: 'UNAVAILABLE', message, isUnexpected: false };
  }
}

function pullThroughAnswer({ reason, message }: PullThroughError): ErrorAnswer {
  switch (reason) {
    case 'unknown-upstream':
      return { status: 404, code: 'NAME_UNKNOWN', message, isUnexpected: false };
    case 'not-allowed':
      return { status: 403, code: 'DENIED', message, isUnexpected: false };
    case 'corrupt':
      return { status: 502, code: 'UNAVAILABLE', message, isUnexpected: false };
    case 'closing':
      return unavailable(message, false);
  }
}

function unavailable(message: string, isUnexpected: boolean): ErrorAnswer {
  return { status: 503, code: 'UNAVAILABLE', message, retryAfterSeconds: RETRY_AFTER_SECONDS, isUnexpected };
}

/** The error body of the distribution spec ("Error Codes"). */
export function errorBody({ code, message }: Pick<ErrorAnswer, 'code' | 'message'>): Buffer {
  return Buffer.from(JSON.stringify({ errors: [{ code, message, detail: null }] }));
}
