import { ContentError } from '../content/content-error.ts';
import { OciError } from '../oci/error.ts';
import { PullThroughError } from '../pull-through/pull-through-error.ts';
import { UpstreamError } from '../upstream/upstream-error.ts';
import { WARM_FAILURE_REASONS, type WarmFailureReason } from './warm-events.ts';

export interface WarmFailure {
  readonly reason: WarmFailureReason;
  /** For the operator; nothing of it is secret. */
  readonly message: string;
}

/** Why something was not brought in; `undefined` for what is a fault of this program. */
export function failureOf(error: unknown): WarmFailure | undefined {
  const isKnown =
    error instanceof UpstreamError ||
    error instanceof PullThroughError ||
    error instanceof ContentError ||
    error instanceof OciError;
  if (!isKnown) return undefined;
  const { message } = error;
  if (error instanceof ContentError) return { reason: 'not-stored', message };
  if (error instanceof OciError) return { reason: 'invalid', message };
  const isMissing = error instanceof UpstreamError && error.reason === 'not-found';
  const reason = WARM_FAILURE_REASONS.find((known) => known === error.reason) ?? 'failed';
  return { reason, message: isMissing ? `it is not there: ${message}` : message };
}
