import type { KeyObject } from 'node:crypto';
import type { StoreContents } from '../cache/store-contents.ts';
import { StoreOperationError } from '../cache/store-operation-error.ts';
import type { StoreOperations } from '../cache/store-operations.ts';
import { LayoutError } from '../oci-layout/layout-error.ts';
import { openArchive } from '../oci-layout/open-archive.ts';
import type { Digest } from '../oci/digest.ts';
import type { Tag } from '../oci/reference.ts';
import { BundleError } from './bundle-error.ts';
import { type ImageName, type NamingOptions, printImageName } from './image-names.ts';
import { alteredOf } from './import-claims.ts';
import { type ImportFile, verifyParts } from './import-files.ts';
import { type ImagePlan, type ImportPlan, planImport } from './import-plan.ts';
import { roomProblem } from './import-room.ts';
import { type OfferedBody, type OpenedSource, openSource } from './import-source.ts';

export interface ImportRequest {
  readonly files: readonly ImportFile[];
  readonly naming: NamingOptions;
  readonly publicKeys: readonly KeyObject[];
  /** Only say what would be done. */
  readonly dryRun: boolean;
}

export interface ImportStore {
  readonly operations: Pick<StoreOperations, 'status'>;
  readonly contents: StoreContents;
}

export interface ImportedImage {
  /** `docker.io/library/nginx:1.27`. */
  readonly name: string;
  readonly digest: Digest;
  readonly file: string;
  /** `present`: all of it was here, and is called so. */
  readonly outcome: 'added' | 'present';
  /** Its manifest was made here, of an archive that has none: no registry knows this digest. */
  readonly isMade: boolean;
  /** Manifests that its index names, of platforms that are neither in the archive nor here. */
  readonly absent: readonly Digest[];
  /** What the archive lacks and was here already. */
  readonly hereOnly: number;
}

export interface ImportFailure {
  readonly file: string;
  readonly message: string;
}

/** How far an import is. `total`: as far as is known. */
export interface ImportProgress {
  readonly phase: 'reading' | 'importing';
  readonly file: string;
  readonly doneBytes: number;
  readonly totalBytes: number | undefined;
}

export interface ImportObserver {
  progress(progress: ImportProgress): void;
  /** What was passed over, and is no failure. */
  remark(file: string, message: string): void;
  image(image: ImportedImage): void;
  failure(failure: ImportFailure): void;
}

export interface ImportSummary {
  readonly added: number;
  readonly present: number;
  readonly failures: number;
  /** Content that was taken in. */
  readonly blobs: number;
  readonly bytes: number;
}

/** Bodies taken in side by side, where they can be read so: one is read while another is brought to the disk. */
const CONCURRENCY = 3;
const REMARKS_TOLD = 20;
/** Of one image. */
const PROBLEMS_TOLD = 5;
/** Of its limit: above it a store gives things up to make room. */
const TIGHT_SHARE = 0.9;

/**
 * Takes archives in, one after the other. What is wrong with one, or with an image of it, is told, and all others are
 * imported. Running it again changes nothing.
 * @throws StoreOperationError when the store cannot do its part, the signal's reason; what was done until then stays
 */
export async function runImport(
  request: ImportRequest,
  store: ImportStore,
  observer: ImportObserver,
  signal: AbortSignal,
): Promise<ImportSummary> {
  const summary = { added: 0, present: 0, failures: 0, blobs: 0, bytes: 0 };
  const told: ImportObserver = {
    progress: (progress) => observer.progress(progress),
    remark: (file, message) => observer.remark(file, message),
    image: (image) => {
      summary[image.outcome] += 1;
      observer.image(image);
    },
    failure: (failure) => {
      summary.failures += 1;
      observer.failure(failure);
    },
  };
  for (const file of request.files) {
    signal.throwIfAborted();
    try {
      const { blobs, bytes } = await importFile(file, request, store, told, signal);
      summary.blobs += blobs;
      summary.bytes += bytes;
    } catch (error) {
      if (signal.aborted || !(error instanceof LayoutError || error instanceof BundleError)) throw error;
      told.failure({ file: file.name, message: error.message });
    }
  }
  return summary;
}

async function importFile(
  file: ImportFile,
  request: ImportRequest,
  store: ImportStore,
  observer: ImportObserver,
  signal: AbortSignal,
): Promise<{ readonly blobs: number; readonly bytes: number }> {
  const { naming, publicKeys } = request;
  let doneBytes = 0;
  const onBytes = (bytes: number): void => {
    doneBytes += bytes;
    observer.progress({ phase: 'reading', file: file.name, doneBytes, totalBytes: undefined });
  };
  await verifyParts(file, publicKeys, onBytes, signal);
  const archive = await openArchive(file.name, file.pieces, signal);
  try {
    const source = await openSource(archive, { naming, publicKeys, onBytes }, signal);
    for (const remark of source.remarks.slice(0, REMARKS_TOLD)) observer.remark(file.name, remark);
    for (const message of source.problems) observer.failure({ file: file.name, message });
    const plan = await planImport(source, store.contents, signal);
    return await new ImageImport({ file, request, store, observer, source, plan }).run(signal);
  } finally {
    await archive.close();
  }
}

interface ImageImportParts {
  readonly file: ImportFile;
  readonly request: ImportRequest;
  readonly store: ImportStore;
  readonly observer: ImportObserver;
  readonly source: OpenedSource;
  readonly plan: ImportPlan;
}

/** One archive's images: content first, names last, so that nothing is ever named that is not whole. */
class ImageImport {
  readonly #parts: ImageImportParts;
  /** What could not be taken in, and why. */
  readonly #bad = new Map<Digest, string>();
  /** Manifests of which the store was told that a repository has them. */
  readonly #said = new Set<string>();
  readonly #totalBytes: number;
  #doneBytes = 0;
  #blobs = 0;

  constructor(parts: ImageImportParts) {
    this.#parts = parts;
    this.#totalBytes = [...parts.plan.lacking.values()].reduce((sum, bytes) => sum + bytes, 0);
  }

  async run(signal: AbortSignal): Promise<{ readonly blobs: number; readonly bytes: number }> {
    const { plan, request, store, observer, file } = this.#parts;
    for (const { problems, parts, image } of plan.images) {
      const names = parts.length === 0 ? `${image.names.map(printImageName).join(', ')}: ` : '';
      for (const message of problems.slice(0, PROBLEMS_TOLD))
        observer.failure({ file: file.name, message: `${names}${message}` });
    }
    const whole = plan.images.filter(({ parts }) => parts.length > 0);
    await this.#assertRoom(signal);
    if (!request.dryRun) {
      await this.#takeIn(signal);
      await this.#prove(signal);
      // Of what is here others may have disposed meanwhile: what is named is to be whole.
      await this.#checkPresent(whole, store.contents, signal);
    }
    for (const image of whole) await this.#name(image, signal);
    return { blobs: this.#blobs, bytes: this.#doneBytes };
  }

  async #assertRoom(signal: AbortSignal): Promise<void> {
    const { plan, store, file, request } = this.#parts;
    const upstreams = this.#upstreams();
    const lacking = [...plan.lacking].map(([digest, sizeBytes]) => {
      return { digest, sizeBytes, upstream: upstreams.get(digest) ?? '' };
    });
    const present = [...plan.present].map(([digest, sizeBytes]) => ({ digest, sizeBytes }));
    if (lacking.length === 0) return;
    const status = await store.operations.status(signal);
    const problem = roomProblem(status, { lacking, present });
    if (problem !== undefined)
      throw new BundleError('no-room', `${file.name}: ${problem}; nothing of it was imported`);
    const bytes = lacking.reduce((sum, { sizeBytes }) => sum + sizeBytes, status.bytes);
    if (bytes > status.limitBytes * TIGHT_SHARE && !request.dryRun) await this.#keepPresent(signal);
  }

  /** What is here already is told to the store like what is brought, so that it is not given up for the rest. */
  async #keepPresent(signal: AbortSignal): Promise<void> {
    const { plan, store } = this.#parts;
    const upstreams = this.#upstreams();
    for (const [digest, sizeBytes] of plan.present) {
      const content = { digest, sizeBytes, upstream: upstreams.get(digest) ?? '' };
      await store.contents.add(content, gone(digest), signal).catch((error: unknown) => {
        // It went a moment ago: what is missing in the end is told then.
        if (!(error instanceof StoreOperationError) || error.reason !== 'invalid') throw error;
      });
    }
  }

  /** Who is charged for what: the first image that needs it. */
  #upstreams(): ReadonlyMap<Digest, string> {
    const upstreams = new Map<Digest, string>();
    for (const { parts, image } of this.#parts.plan.images)
      for (const { digest } of parts)
        if (!upstreams.has(digest)) upstreams.set(digest, image.names[0]?.upstream ?? '');
    return upstreams;
  }

  async #takeIn(signal: AbortSignal): Promise<void> {
    const { plan, source } = this.#parts;
    const upstreams = this.#upstreams();
    const running = new Set<Promise<void>>();
    const failed: { error?: unknown } = {};
    try {
      for await (const offered of source.bodies(new Set(plan.lacking.keys()), signal)) {
        const adding = this.#add(offered, upstreams.get(offered.digest) ?? '', signal)
          .catch((error: unknown) => {
            failed.error ??= error;
          })
          .finally(() => running.delete(adding));
        running.add(adding);
        while (running.size >= (source.isSeekable ? CONCURRENCY : 1)) await Promise.race(running);
        if ('error' in failed) break;
      }
    } finally {
      // The archive is closed next.
      await Promise.all(running);
    }
    if ('error' in failed) throw failed.error;
  }

  async #add({ digest, sizeBytes, body }: OfferedBody, upstream: string, signal: AbortSignal): Promise<void> {
    const { store, source } = this.#parts;
    const counted = this.#counted(body);
    try {
      if ((await store.contents.add({ digest, sizeBytes, upstream }, counted, signal)) === 'added')
        this.#blobs += 1;
    } catch (error) {
      // Of what can be read in any order the rest can be read all the same.
      if (error instanceof LayoutError && source.isSeekable) {
        this.#bad.set(digest, error.message);
        return;
      }
      if (!(error instanceof StoreOperationError) || error.reason !== 'invalid') throw error;
      this.#bad.set(digest, alteredText(source, digest));
    }
  }

  async *#counted(body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, undefined> {
    const { observer, file } = this.#parts;
    const totalBytes = this.#totalBytes;
    for await (const chunk of body) {
      yield chunk;
      this.#doneBytes += chunk.length;
      observer.progress({ phase: 'importing', file: file.name, doneBytes: this.#doneBytes, totalBytes });
    }
  }

  /** What is here already is not read from the archive, unless that is all that speaks for having it. */
  async #prove(signal: AbortSignal): Promise<void> {
    const { plan, source, observer, file } = this.#parts;
    let doneBytes = 0;
    const onBytes = (bytes: number): void => {
      doneBytes += bytes;
      observer.progress({ phase: 'reading', file: file.name, doneBytes, totalBytes: undefined });
    };
    for (const digest of await alteredOf(source, plan.unproven, onBytes, signal))
      this.#bad.set(digest, alteredText(source, digest));
  }

  async #checkPresent(
    images: readonly ImagePlan[],
    contents: StoreContents,
    signal: AbortSignal,
  ): Promise<void> {
    const needed = new Set(images.flatMap(({ parts }) => parts.map(({ digest }) => digest)));
    for (const digest of await contents.lacking([...needed], signal))
      if (!this.#bad.has(digest))
        this.#bad.set(digest, `${this.#parts.source.placeOf(digest)}: is not here any more: import it again`);
  }

  async #name(plan: ImagePlan, signal: AbortSignal): Promise<void> {
    const { observer, file, source, request } = this.#parts;
    const { image, parts, absent, hereOnly } = plan;
    const faults = parts.flatMap(({ digest }) => this.#bad.get(digest) ?? []);
    const { digest } = image.root;
    if (faults.length > 0) {
      const names = image.names.map(printImageName).join(', ');
      observer.failure({ file: file.name, message: `${names}: ${faults.join('; ')}` });
      return;
    }
    const facts = { digest, file: file.name, isMade: source.kind === 'docker', absent, hereOnly };
    for (const [name, tags] of tagsByRepository(image.names)) {
      const isLacking = parts.some((part) => this.#parts.plan.lacking.has(part.digest));
      const outcome = request.dryRun
        ? isLacking
          ? 'added'
          : 'present'
        : await this.#addImage(plan, { name, tags, isLacking }, signal);
      for (const tag of tags.length === 0 ? [undefined] : tags) {
        const full =
          tag === undefined
            ? `${printImageName({ ...name, tag })}@${digest}`
            : printImageName({ ...name, tag });
        observer.image({ ...facts, name: full, outcome });
      }
    }
  }

  async #addImage(
    { image: { root, checkedAt }, manifests }: ImagePlan,
    {
      name: { upstream, repository },
      tags,
      isLacking,
    }: { readonly name: ImageName; readonly tags: readonly Tag[]; readonly isLacking: boolean },
    signal: AbortSignal,
  ): Promise<'added' | 'present'> {
    const outcomes = new Set<'added' | 'present'>();
    // One by one: of what else its indexes list there may be something here that is not its own.
    for (const { digest, mediaType } of manifests) {
      const isRoot = digest === root.digest;
      const text = `${upstream}/${repository}@${digest}`;
      if (this.#said.has(text) && !isRoot) continue;
      this.#said.add(text);
      const added = { upstream, repository, digest, mediaType, checkedAt, isAlone: true };
      outcomes.add(await this.#parts.store.contents.addImage({ ...added, tags: isRoot ? tags : [] }, signal));
    }
    return isLacking || outcomes.has('added') ? 'added' : 'present';
  }
}

function alteredText(source: OpenedSource, digest: Digest): string {
  return `${source.placeOf(digest)} was altered: its bytes are not those of its digest`;
}

function tagsByRepository(names: readonly ImageName[]): ReadonlyMap<ImageName, readonly Tag[]> {
  const found = new Map<string, { readonly name: ImageName; readonly tags: Tag[] }>();
  for (const name of names) {
    const key = `${name.upstream}/${name.repository}`;
    const known = found.get(key) ?? { name, tags: [] };
    found.set(key, known);
    if (name.tag !== undefined) known.tags.push(name.tag);
  }
  return new Map([...found.values()].map(({ name, tags }) => [name, tags]));
}

/** Read only when there is nothing to be taken in. */
function gone(digest: Digest): AsyncIterable<Uint8Array> {
  const next = () => Promise.reject(new StoreOperationError('invalid', `${digest} is not here any more`));
  return { [Symbol.asyncIterator]: () => ({ next }) };
}
