import type { ContentEntry, StoreContents } from '../cache/store-contents.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import { type Digest, digestAlgorithm, digestOf } from '../oci/digest.ts';
import { type ImageRoot, walkImage } from '../oci/image-walk.ts';
import { MANIFEST_SIZE_LIMIT, type ManifestFacts } from '../oci/manifest.ts';
import { MANIFEST_MEDIA_TYPES } from '../oci/media-type.ts';
import type { ArrivingImage, OpenedSource } from './import-source.ts';

export interface ImagePlan {
  readonly image: ArrivingImage;
  /** All that it needs to be of use, of the platforms that there are. Empty: it cannot be imported. */
  readonly parts: readonly ContentEntry[];
  /** What is wrong, with file and entry. */
  readonly problems: readonly string[];
  /** Manifests that an index of it names, of platforms that are neither in the archive nor here. */
  readonly absent: readonly Digest[];
  /** What the archive lacks and is here already. */
  readonly hereOnly: number;
}

export interface ImportPlan {
  readonly images: readonly ImagePlan[];
  /** What is to be taken in, from the archive. */
  readonly lacking: ReadonlyMap<Digest, number>;
  /** Of what the images need, what is here already. */
  readonly present: ReadonlyMap<Digest, number>;
}

interface Node {
  readonly sizeBytes: number;
  readonly facts: ManifestFacts;
}

interface Judgement {
  readonly isComplete: boolean;
  readonly parts: readonly ContentEntry[];
  readonly problems: readonly string[];
  readonly absent: readonly Digest[];
}

/** What has to be taken in, what is here already, and what is missing at both sides. Changes nothing. */
export async function planImport(
  source: OpenedSource,
  contents: StoreContents,
  signal: AbortSignal,
): Promise<ImportPlan> {
  const nodes = new Map<Digest, Node | string>();
  for (const { root } of source.images) await readNodes(source, contents, { root, nodes }, signal);
  const named = new Set<Digest>();
  for (const [digest, node] of nodes) {
    named.add(digest);
    if (typeof node !== 'string') for (const child of node.facts.descriptors) named.add(child.digest);
  }
  const absentHere = new Set(await contents.lacking([...named], signal));
  const judge = new Judge(source, nodes, (digest) => !absentHere.has(digest));
  const images = source.images.map((image): ImagePlan => {
    const { isComplete, parts, problems, absent } = judge.of(image.root.digest);
    const hereOnly = parts.filter(({ digest }) => !source.offers.has(digest)).length;
    return { image, parts: isComplete ? parts : [], problems, absent, hereOnly };
  });
  const needed = images.flatMap(({ parts }) => parts);
  const sizes = (isWanted: (digest: Digest) => boolean): ReadonlyMap<Digest, number> =>
    new Map(
      needed
        .filter(({ digest }) => isWanted(digest))
        .map(({ digest, sizeBytes }) => [digest, sizeBytes] as const),
    );
  return {
    images,
    lacking: sizes((digest) => absentHere.has(digest)),
    present: sizes((digest) => !absentHere.has(digest)),
  };
}

/** Manifests of the archive, else those that are here: a delta leaves them out. */
async function readNodes(
  source: OpenedSource,
  contents: StoreContents,
  { root, nodes }: { readonly root: ImageRoot; readonly nodes: Map<Digest, Node | string> },
  signal: AbortSignal,
): Promise<void> {
  const problems = new Map<Digest, string>();
  const steps = walkImage(root, async ({ digest, mediaType }) => {
    signal.throwIfAborted();
    // Asked about before: platforms that came not along are named by many.
    if (nodes.get(digest) === '') return undefined;
    const found = await source.document(digest, signal);
    if (found !== undefined) {
      if (digestOf(found, digestAlgorithm(digest)) === digest) return { bytes: found, mediaType };
      problems.set(digest, `${source.placeOf(digest)} was altered: its bytes are not those of its digest`);
    }
    const bytes = await storedDocument(contents, digest, signal);
    return bytes && { bytes, mediaType };
  });
  for await (const step of steps) {
    if (step.step === 'manifest') nodes.set(step.digest, { sizeBytes: step.bytes.length, facts: step.facts });
    else if (step.step === 'missing') {
      const altered = problems.get(step.digest);
      const isAbsent = altered === undefined && step.problem === 'not found';
      if (!nodes.has(step.digest))
        nodes.set(
          step.digest,
          isAbsent ? '' : (altered ?? `${source.placeOf(step.digest)}: ${step.problem}`),
        );
    }
  }
}

async function storedDocument(
  contents: StoreContents,
  digest: Digest,
  signal: AbortSignal,
): Promise<Buffer | undefined> {
  const [isLacking] = await contents.lacking([digest], signal);
  const found = isLacking === undefined ? await contents.read(digest, signal) : undefined;
  if (found === undefined) return undefined;
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of found.body) {
    length += chunk.length;
    if (length > MANIFEST_SIZE_LIMIT) return undefined;
    chunks.push(Buffer.from(chunk));
  }
  return Buffer.concat(chunks);
}

/** Which manifests can be had with all that they list. */
class Judge {
  readonly #source: OpenedSource;
  readonly #nodes: ReadonlyMap<Digest, Node | string>;
  readonly #isHere: (digest: Digest) => boolean;
  readonly #known = new Map<Digest, Judgement>();

  constructor(
    source: OpenedSource,
    nodes: ReadonlyMap<Digest, Node | string>,
    isHere: (digest: Digest) => boolean,
  ) {
    this.#source = source;
    this.#nodes = nodes;
    this.#isHere = isHere;
  }

  of(digest: Digest): Judgement {
    const known = this.#known.get(digest);
    if (known !== undefined) return known;
    // Until it is known: what lists itself is no part of itself.
    this.#known.set(digest, NOTHING);
    const judgement = this.#judge(digest);
    this.#known.set(digest, judgement);
    return judgement;
  }

  #judge(digest: Digest): Judgement {
    const node = this.#nodes.get(digest) ?? '';
    if (node === '')
      return { ...NOTHING, problems: [`${this.#source.placeOf(digest)}: is missing`], absent: [digest] };
    if (typeof node === 'string') return { ...NOTHING, problems: [node] };
    return node.facts.isIndex ? this.#ofIndex(digest, node) : this.#ofManifest(digest, node);
  }

  #ofManifest(digest: Digest, { sizeBytes, facts }: Node): Judgement {
    const listed = facts.descriptors.filter(({ held }) => held);
    const problems = listed.flatMap((blob) => this.#problemOf(blob, digest) ?? []);
    const parts = [...listed.map(entryOf), { digest, sizeBytes }];
    return { isComplete: problems.length === 0, parts, problems, absent: [] };
  }

  /** Of use with one platform, too: what else it names may have been left out on purpose. */
  #ofIndex(digest: Digest, { sizeBytes, facts }: Node): Judgement {
    const parts: ContentEntry[] = [];
    const problems: string[] = [];
    const absent: Digest[] = [];
    let isOfUse = facts.descriptors.length === 0;
    for (const child of facts.descriptors) {
      if (!MANIFEST_MEDIA_TYPES.includes(child.mediaType)) {
        const problem = child.held ? this.#problemOf(child, digest) : undefined;
        if (problem !== undefined) problems.push(problem);
        else if (child.held) parts.push(entryOf(child));
        isOfUse ||= problem === undefined;
        continue;
      }
      const judged = this.of(child.digest);
      if (judged.isComplete) {
        parts.push(...judged.parts);
        isOfUse ||= child.attests === undefined;
      } else if (this.#nodes.get(child.digest) === '') {
        absent.push(child.digest);
        continue;
      }
      problems.push(...judged.problems);
      absent.push(...judged.absent);
    }
    if (!isOfUse && problems.length === 0)
      problems.push(`${this.#source.placeOf(digest)}: none of the manifests that it names is there`);
    return { isComplete: isOfUse, parts: [...parts, { digest, sizeBytes }], problems, absent };
  }

  #problemOf(blob: Descriptor, manifest: Digest): string | undefined {
    if (this.#isHere(blob.digest)) return undefined;
    const offered = this.#source.offers.get(blob.digest);
    const place = this.#source.placeOf(blob.digest);
    if (offered === undefined && this.#source.leftOut.has(blob.digest))
      return `${place}: was left out because the other side was to have it, and it is not here`;
    if (offered === undefined) return `${place}: is missing, and not here either; ${manifest} lists it`;
    if (offered.sizeBytes === blob.size) return undefined;
    return `${place}: has ${offered.sizeBytes} bytes, and ${manifest} says ${blob.size}`;
  }
}

const NOTHING: Judgement = { isComplete: false, parts: [], problems: [], absent: [] };

function entryOf({ digest, size }: Descriptor): ContentEntry {
  return { digest, sizeBytes: size };
}
