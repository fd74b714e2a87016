import type { ContentEntry, StoreContents } from '../cache/store-contents.ts';
import { StoreOperationError } from '../cache/store-operation-error.ts';
import type { StoreOperations } from '../cache/store-operations.ts';
import type { WrittenFile } from '../oci-layout/byte-sink.ts';
import { blobPath } from '../oci-layout/image-layout.ts';
import type { LayoutSink } from '../oci-layout/layout-sink.ts';
import { tarBytes } from '../oci-layout/tar-layout.ts';
import type { Digest } from '../oci/digest.ts';
import { type BundleFacts, type PlannedBundle, plannedBundle } from './bundle-documents.ts';
import type { ExportImage } from './export-images.ts';
import { type ImagePlan, type IncompleteImage, planImage, type PlanOptions } from './export-plan.ts';
import { ReferrerFinder } from './export-referrers.ts';

export interface ExportRequest extends PlanOptions, BundleFacts {
  readonly images: readonly ExportImage[];
  readonly withReferrers: boolean;
}

export interface ExportStore {
  readonly operations: Pick<StoreOperations, 'images'>;
  readonly contents: StoreContents;
}

/** How far an export is. Sizes in bytes of content. */
export interface ExportProgress {
  readonly doneBytes: number;
  readonly totalBytes: number;
  readonly doneContents: number;
  readonly totalContents: number;
}

export interface ExportObserver {
  /** It was looked at, and goes into the bundle. */
  planned(facts: Omit<ExportProgress, 'doneBytes' | 'doneContents'> & ExportSummary): void;
  /** Some content went away while it was read; all begins anew without what lacks it. */
  restarted(digest: Digest): void;
  progress(progress: ExportProgress): void;
}

export interface ExportSummary {
  readonly images: number;
  readonly contents: number;
  readonly bytes: number;
  readonly leftOutContents: number;
  readonly leftOutBytes: number;
}

export interface ExportResult extends ExportSummary {
  /** Empty when there was nothing to write. */
  readonly files: readonly WrittenFile[];
  readonly incomplete: readonly IncompleteImage[];
}

/** Evictions and damaged files are rare: more often than this it is something else. */
const ATTEMPT_LIMIT = 5;
/** Referrers of referrers: a signature of an SBOM. */
const REFERRER_DEPTH_LIMIT = 3;

/**
 * Writes what is cached of the images as one bundle. What an image lacks is told, and all others are written.
 * @param open begins the output; called again when something went away in the middle
 * @throws StoreOperationError, OutputError, the signal's reason; nothing of the output is left then
 */
export async function runExport(
  request: ExportRequest,
  store: ExportStore,
  open: (leastBytes: number) => Promise<LayoutSink>,
  observer: ExportObserver,
  signal: AbortSignal,
): Promise<ExportResult> {
  for (let attempt = 1; ; attempt += 1) {
    const { plans, incomplete } = await planAll(request, store, signal);
    const bundle = plannedBundle(plans, request);
    const summary = summaryOf(bundle);
    observer.planned({ ...summary, totalBytes: summary.bytes, totalContents: summary.contents });
    if (plans.length === 0) return { ...summary, files: [], incomplete };
    try {
      const files = await write(bundle, store.contents, open, observer, signal);
      return { ...summary, files, incomplete };
    } catch (error) {
      if (!(error instanceof ContentGone) || attempt === ATTEMPT_LIMIT) throw error;
      observer.restarted(error.digest);
    }
  }
}

/** What was there when the export was planned. */
class ContentGone extends StoreOperationError {
  readonly digest: Digest;

  constructor(digest: Digest, options?: ErrorOptions) {
    super('failed', `${digest} went away again and again while it was exported`, options);
    this.digest = digest;
  }
}

async function planAll(
  request: ExportRequest,
  { operations, contents }: ExportStore,
  signal: AbortSignal,
): Promise<{ readonly plans: readonly ImagePlan[]; readonly incomplete: readonly IncompleteImage[] }> {
  const plans: ImagePlan[] = [];
  const incomplete: IncompleteImage[] = [];
  const finder = request.withReferrers ? new ReferrerFinder(operations, contents) : undefined;
  const known = new Set(request.images.map(({ name }) => name));
  const plan = async (image: ExportImage, depth: number): Promise<void> => {
    signal.throwIfAborted();
    const planned = await planImage(image, request, contents, signal);
    if ('missing' in planned) {
      incomplete.push(planned);
      return;
    }
    plans.push(planned);
    if (finder === undefined || depth === REFERRER_DEPTH_LIMIT) return;
    for (const { digest } of planned.manifests) {
      for (const referrer of await finder.find(image, digest, signal)) {
        if (known.has(referrer.name)) continue;
        known.add(referrer.name);
        await plan(referrer, depth + 1);
      }
    }
  };
  for (const image of request.images) await plan(image, 0);
  return { plans, incomplete };
}

async function write(
  { documents, contents }: PlannedBundle,
  store: StoreContents,
  open: (leastBytes: number) => Promise<LayoutSink>,
  observer: ExportObserver,
  signal: AbortSignal,
): Promise<readonly WrittenFile[]> {
  const leastBytes = [...documents.map(({ bytes }) => bytes.length), ...contents.map(sizeOf)];
  const sink = await open(leastBytes.reduce((sum, bytes) => sum + tarBytes(bytes), 0));
  const totals = {
    totalBytes: contents.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
    totalContents: contents.length,
  };
  let doneBytes = 0;
  try {
    for (const { name, bytes } of documents) await sink.add({ name, sizeBytes: bytes.length }, [bytes]);
    for (const [doneContents, entry] of contents.entries()) {
      const body = bodyOf(entry, store, signal, (bytes) => {
        doneBytes += bytes;
        observer.progress({ ...totals, doneBytes, doneContents });
      });
      await sink.add({ name: blobPath(entry.digest), sizeBytes: entry.sizeBytes }, body);
    }
    observer.progress({ ...totals, doneBytes, doneContents: contents.length });
    signal.throwIfAborted();
    return await sink.finish();
  } catch (error) {
    await sink.abandon();
    throw error;
  }
}

/** @throws ContentGone also when it turns out damaged: it is stored no longer then */
async function* bodyOf(
  { digest, sizeBytes }: ContentEntry,
  store: StoreContents,
  signal: AbortSignal,
  onBytes: (bytes: number) => void,
): AsyncGenerator<Uint8Array, void> {
  const found = await store.read(digest, signal);
  if (found === undefined) throw new ContentGone(digest);
  const { body } = found;
  try {
    if (found.sizeBytes !== sizeBytes)
      throw new StoreOperationError(
        'failed',
        `${digest} has ${found.sizeBytes} bytes, and not ${sizeBytes} as its manifest says`,
      );
    for await (const chunk of body) {
      yield chunk;
      onBytes(chunk.length);
    }
  } catch (cause) {
    if (!(cause instanceof StoreOperationError) || cause.reason !== 'failed') throw cause;
    const lacking = await store.lacking([digest], signal);
    throw lacking.length === 0 ? cause : new ContentGone(digest, { cause });
  }
}

function summaryOf({ contents, leftOut, images }: PlannedBundle): ExportSummary {
  return {
    images,
    contents: contents.length,
    bytes: contents.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
    leftOutContents: leftOut.length,
    leftOutBytes: leftOut.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
  };
}

function sizeOf({ sizeBytes }: ContentEntry): number {
  return sizeBytes;
}
