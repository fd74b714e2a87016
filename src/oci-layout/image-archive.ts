/** A regular file of an archive. */
export interface ArchiveEntry {
  /** Relative, with `/` between its parts. */
  readonly path: string;
  readonly sizeBytes: number;
}

export interface ArchiveBody extends ArchiveEntry {
  /** Each chunk may be used until the next one is asked for. May be asked for once. @throws LayoutError */
  readonly body: AsyncIterable<Uint8Array>;
}

/**
 * Files in an archive or a directory, whatever they mean. Nothing is ever written to a path that it names, and no link
 * in it is followed but by `linkedTo`.
 */
export interface ImageArchive {
  /** As the user knows it. */
  readonly name: string;
  readonly entries: ReadonlyMap<string, ArchiveEntry>;
  /** Where a link in it leads, as a path within it; `undefined` for what is no link, or leads out of it. */
  linkedTo(path: string): string | undefined;
  /** What was passed over, for the user; bounded. */
  readonly remarks: readonly string[];
  /** When it was written, milliseconds since 1970. */
  readonly modifiedAt: number;
  /** True: bodies can be read side by side, in any order. False: one after the other, each before the next is asked for. */
  readonly isSeekable: boolean;
  /**
   * A small file, whole. Of an archive that cannot be read in any order: only what looks like JSON.
   * @throws LayoutError `too-large` when it has more than `limitBytes`
   */
  readSmall(path: string, limitBytes: number, signal: AbortSignal): Promise<Buffer | undefined>;
  /** Those of `paths` that are here, in the order in which they lie. @throws LayoutError */
  bodies(paths: ReadonlySet<string>, signal: AbortSignal): AsyncIterable<ArchiveBody>;
  close(): Promise<void>;
}

/** More than any real archive has; bounds what is kept of their names. */
export const ENTRY_COUNT_LIMIT = 300_000;
