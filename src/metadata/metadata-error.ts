/**
 * - `in-use`: another process holds the data directory;
 * - `newer`: the database was written by a newer entrepot;
 * - `damaged`: the database is not one;
 * - `full`: the disk has no room for what was to be written, be it that something is forgotten;
 * - `failed`: any other failure of the database.
 */
export type MetadataErrorReason = 'in-use' | 'newer' | 'damaged' | 'full' | 'failed';

export class MetadataError extends Error {
  override readonly name = 'MetadataError';
  readonly reason: MetadataErrorReason;

  constructor(reason: MetadataErrorReason, message: string, options?: ErrorOptions) {
    super(message, options);
    this.reason = reason;
  }
}
