/**
 * - `unreadable`: the file system did not give a file;
 * - `invalid`: a file is not what it should be;
 * - `untrusted`: a signature is missing or wrong;
 * - `no-room`: the store is too small for it.
 */
export type BundleErrorReason = 'unreadable' | 'invalid' | 'untrusted' | 'no-room';

/** What is wrong with a bundle, or with what is needed to write or read one. The message names the file. */
export class BundleError extends Error {
  override readonly name = 'BundleError';
  readonly reason: BundleErrorReason;

  constructor(reason: BundleErrorReason, message: string, options?: ErrorOptions) {
    super(message, options);
    this.reason = reason;
  }
}
