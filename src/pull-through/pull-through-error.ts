/**
 * - `corrupt`: the upstream sent other bytes than the digest or the size names;
 * - `unknown-upstream`: the request names a registry that is not configured;
 * - `not-allowed`: the operator's rules do not let this repository be served;
 * - `closing`: this process is shutting down.
 */
export type PullThroughErrorReason = 'corrupt' | 'unknown-upstream' | 'not-allowed' | 'closing';

export class PullThroughError extends Error {
  override readonly name = 'PullThroughError';
  readonly reason: PullThroughErrorReason;

  constructor(reason: PullThroughErrorReason, message: string, options?: ErrorOptions) {
    super(message, options);
    this.reason = reason;
  }
}
