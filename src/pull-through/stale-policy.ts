import type { RepositoryRules, StaleReason } from '../config.ts';
import { UpstreamError } from '../upstream/upstream-error.ts';

/** For each way to fail, how old (ms) an answer may be that is served instead; absent: none is. */
export type StaleLimits = { readonly [reason in StaleReason]?: number | undefined };

/** By default the upstream's word stands; where it could not say, stale will do. */
const DEFAULTS: Readonly<Record<StaleReason, 'stale' | 'fail'>> = {
  timeout: 'stale',
  '5xx': 'stale',
  '429': 'stale',
  '401': 'fail',
  '403': 'fail',
  '404': 'fail',
};

/** In the order in which they are shown. Written out: the keys of an object come numbers first. */
export const STALE_REASONS: readonly StaleReason[] = ['timeout', '5xx', '429', '401', '403', '404'];

/** @param maxStaleMs what `stale` stands for */
export function staleLimitsOf(rules: RepositoryRules['stale'], maxStaleMs: number): StaleLimits {
  const limits: { [reason in StaleReason]?: number } = {};
  for (const reason of STALE_REASONS) {
    const reaction = rules?.[reason] ?? DEFAULTS[reason];
    if (reaction !== 'fail') limits[reason] = reaction === 'stale' ? maxStaleMs : reaction;
  }
  return limits;
}

/** `undefined` for what is not the upstream's failure, or a refusal of our own: nothing stale is served then. */
export function staleReasonOf(error: unknown): StaleReason | undefined {
  if (!(error instanceof UpstreamError)) return undefined;
  switch (error.reason) {
    case 'timeout':
      return 'timeout';
    case 'unavailable':
      return error.status === undefined ? 'timeout' : '5xx';
    case 'protocol':
      return '5xx';
    case 'rate-limited':
      return '429';
    case 'not-found':
    case 'denied':
      if (error.status === 401) return '401';
      if (error.status === 403) return '403';
      // Credentials that were refused a moment ago are not sent again: there is no answer then.
      return error.reason === 'denied' ? '401' : '404';
    case 'refused':
    case 'offline':
      return undefined;
  }
}
