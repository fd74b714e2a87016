import type { FakeAuth } from './fake-registry-auth.ts';
import type { RecordedRequest } from './recorded-request.ts';

/** How the registry behaves while nothing is wrong. Every field may be changed later by `configure`. */
export interface FakeRegistryBehaviour {
  /** Default: `{ mode: 'none' }`. */
  readonly auth?: FakeAuth;
  /** Where a request is sent instead of being answered (after access control); `undefined` = answer it. */
  readonly redirect?: ((request: RecordedRequest) => string | undefined) | undefined;
  /** Default 307. */
  readonly redirectStatus?: number;
  /** HEAD on manifests and blobs gets this status. */
  readonly headRefused?: number | undefined;
  readonly omitContentDigest?: boolean;
  /** GETs are chunked and HEADs have no length. */
  readonly omitContentLength?: boolean;
  readonly omitEtag?: boolean;
  /** Largest page of tags and of referrers, whatever `n` asks. Default: no limit. */
  readonly pageSize?: number;
  /** How `Link` names the next page. Default `relative`. */
  readonly links?: 'relative' | 'absolute';
  /** False: `referrers/` is 404. Default true. */
  readonly referrers?: boolean;
  /** Manifest GETs that are still allowed: sent as `ratelimit-*` as Docker Hub does, and 429 when used up. */
  readonly pullLimit?: { readonly limit: number; readonly remaining: number } | undefined;
  /** `/cdn/` answers 400 to a request with `Authorization`, as S3 and Azure Blob do. Default true. */
  readonly cdnRefusesAuthorization?: boolean;
}
