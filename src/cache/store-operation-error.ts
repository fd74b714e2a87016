/**
 * - `not-found`: nothing of what was named is here;
 * - `invalid`: what was asked for cannot be;
 * - `busy`: too much is asked for at once;
 * - `failed`: the store or the index could not do its part;
 * - `unreachable`: the server that holds the directory cannot be asked;
 * - `refused`: it does not take the token, or the request.
 */
export type StoreOperationReason = 'not-found' | 'invalid' | 'busy' | 'failed' | 'unreachable' | 'refused';

/** Why an operation on the store was not done. The message is for the operator. */
export class StoreOperationError extends Error {
  override readonly name = 'StoreOperationError';
  readonly reason: StoreOperationReason;

  constructor(reason: StoreOperationReason, message: string, options?: ErrorOptions) {
    super(message, options);
    this.reason = reason;
  }
}
