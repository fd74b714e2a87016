/**
 * - `corrupt`: the upstream sent other bytes than the digest or the size names;
 * - `unknown-upstream`: the request names a registry that is not configured;
 * - `closing`: this process is shutting down.
 */
export type PullThroughErrorReason = 'corrupt' | 'unknown-upstream' | 'closing';

export class PullThroughError extends Error {
  override readonly name = 'PullThroughError';
  readonly reason: PullThroughErrorReason;

  constructor(reason: PullThroughErrorReason, message: string, options?: ErrorOptions) {
    super(message, options);
    this.reason = reason;
  }
}
