/** Where bytes at rest lie, for whoever can read files for himself. It changes by being replaced, never in place. */
export interface RestingFile {
  /** Absolute. Whoever opens it later may find none, or another: see the other two. */
  readonly path: string;
  readonly sizeBytes: number;
  /** Milliseconds since 1970, as the file system tells it. */
  readonly modifiedAt: number;
}
