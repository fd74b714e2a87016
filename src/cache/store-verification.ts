import type { Clock } from '../clock.ts';
import type { BlobRow } from '../metadata/stored-blobs.ts';
import type { MetadataStore } from '../metadata/metadata-store.ts';
import type { Digest } from '../oci/digest.ts';
import { ByteRate } from './byte-rate.ts';
import type { Finding, Upkeep } from './upkeep.ts';
import type { UpkeepObserver } from './upkeep-observer.ts';

const PAGE_BLOBS = 100;

/** All that is stored, or of these what is. */
export type VerifySelection = 'all' | Iterable<Digest> | AsyncIterable<Digest>;

export interface VerifyOptions {
  readonly signal: AbortSignal;
  /** Absent: as fast as the disk is. */
  readonly bytesPerSecond?: number;
}

/** One blob was looked at. `absent`: it was selected, and is not stored. */
export interface VerifyEvent {
  readonly digest: Digest;
  /** As the index has it; 0 when it is not stored. */
  readonly sizeBytes: number;
  readonly finding: Finding | 'absent';
}

export interface VerificationParts {
  readonly metadata: MetadataStore;
  readonly clock: Clock;
  readonly upkeep: Upkeep;
  readonly reports: UpkeepObserver;
}

/**
 * Reads blobs and compares their digests, one after the other; what is bad is taken out as it is found. Ends when all
 * were looked at. @throws the signal's reason, MetadataError
 */
export async function* verifyStore(
  { metadata, clock, upkeep, reports }: VerificationParts,
  selection: VerifySelection,
  { signal, bytesPerSecond = Infinity }: VerifyOptions,
): AsyncGenerator<VerifyEvent, void, undefined> {
  const rate = new ByteRate(clock, bytesPerSecond);
  const onBytes = (bytes: number) => {
    reports.verified(bytes);
    return rate.take(bytes, signal);
  };
  const look = async (row: BlobRow): Promise<VerifyEvent> => ({
    digest: row.digest,
    sizeBytes: row.sizeBytes,
    finding: await upkeep.examine(row, { where: 'verify', signal, onBytes }),
  });
  if (selection === 'all') {
    for (let after: number | undefined = 0; after !== undefined;) {
      signal.throwIfAborted();
      const page = await metadata.blobs.page(after, PAGE_BLOBS);
      for (const blob of page.blobs) yield await look(blob);
      after = page.next;
    }
    return;
  }
  for await (const digest of selection) {
    signal.throwIfAborted();
    const row = await metadata.blobs.get(digest);
    yield row === undefined ? { digest, sizeBytes: 0, finding: 'absent' } : await look(row);
  }
}
