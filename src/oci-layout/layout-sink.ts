import type { WrittenFile } from './byte-sink.ts';

/** A file of a layout. */
export interface LayoutFile {
  /** Below the layout, with `/`. */
  readonly name: string;
  readonly sizeBytes: number;
}

/** Where a layout's files go, in the order in which a reader finds them. All fail with OutputError. */
export interface LayoutSink {
  /** One at a time. @throws Error when `body` has another length than `sizeBytes`; what `body` throws */
  add(file: LayoutFile, body: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): Promise<void>;
  /** All of it is there, under its final name, durable. */
  finish(): Promise<readonly WrittenFile[]>;
  /** As ByteSink's. */
  abandon(): Promise<void>;
}
