import type { Digest } from '../oci/digest.ts';

/** A file under its final name, durable. */
export interface WrittenFile {
  readonly path: string;
  readonly sizeBytes: number;
  /** Of its bytes, where they were hashed: of parts. */
  readonly digest?: Digest | undefined;
}

/** Bytes on their way to a file. Nothing is seen under its final name before `finish`. All fail with OutputError. */
export interface ByteSink {
  /** In order, one call at a time. The bytes are the caller's again when it has settled. */
  write(bytes: Uint8Array): Promise<void>;
  finish(): Promise<readonly WrittenFile[]>;
  /** Takes away what was written. Also after a failure, once or twice; after `finish` it does nothing. Never fails. */
  abandon(): Promise<void>;
}
