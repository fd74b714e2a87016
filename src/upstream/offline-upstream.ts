import type { Upstream } from './upstream.ts';
import { UpstreamError } from './upstream-error.ts';

/** An upstream that is never asked: whatever is not held here is not found. */
export function offlineUpstream(name: string): Upstream {
  const refuse = (): Promise<never> =>
    Promise.reject(
      new UpstreamError('not-found', `not in the cache, and ${name} is not asked: entrepot is offline`),
    );
  return {
    name,
    headManifest: refuse,
    getManifest: refuse,
    headBlob: refuse,
    getBlob: refuse,
    listTags: refuse,
    listReferrers: refuse,
    blobWasWrong: () => undefined,
    close: () => Promise.resolve(),
  };
}
