import type { ContentEntry, StoreContents } from '../cache/store-contents.ts';
import { storedDocument } from '../cache/stored-document.ts';
import { type Digest, digestAlgorithm, digestOf } from '../oci/digest.ts';
import { type ImageRoot, walkImage } from '../oci/image-walk.ts';
import { foreignParts } from './import-claims.ts';
import { entriesOf, Judge, type ManifestNode, type ManifestNodes } from './import-judge.ts';
import type { ArrivingImage, OpenedSource } from './import-source.ts';

export interface ImagePlan {
  readonly image: ArrivingImage;
  /** All that it needs to be of use, of the platforms that there are. Empty: it cannot be imported. */
  readonly parts: readonly ContentEntry[];
  /** Those of its parts that are manifests; what lists comes after what is listed. */
  readonly manifests: readonly ImageRoot[];
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
  /** Of what is here, what an image may have only because the archive has it, too: its bytes are to show that. */
  readonly unproven: ReadonlySet<Digest>;
}

/** What has to be taken in, what is here already, and what is missing at both sides. Changes nothing. */
export async function planImport(
  source: OpenedSource,
  contents: StoreContents,
  signal: AbortSignal,
): Promise<ImportPlan> {
  const nodes = new Map<Digest, ManifestNode | string>();
  for (const { root } of source.images) await readNodes(source, contents, { root, nodes }, signal);
  const named = new Set<Digest>();
  for (const [digest, node] of nodes) {
    named.add(digest);
    if (typeof node !== 'string') for (const child of node.facts.descriptors) named.add(child.digest);
  }
  const absentHere = new Set(await contents.lacking([...named], signal));
  const isForeign = await foreignParts(source.images, nodes, contents, signal);
  const unproven = new Set<Digest>();
  const images = source.images.map((image): ImagePlan => {
    const isOther = isForeign(image);
    const isHere = (digest: Digest) =>
      !absentHere.has(digest) && (!isOther(digest) || source.leftOut.has(digest));
    const { isComplete, parts, problems, absent } = new Judge(source, nodes, isHere).of(image.root.digest);
    const taken = isComplete ? entriesOf(parts) : [];
    // Digests of docker save are of the bytes that it has, and manifests were compared with theirs.
    for (const { digest } of source.kind === 'docker' ? [] : taken)
      if (!absentHere.has(digest) && !isHere(digest) && typeof nodes.get(digest) !== 'object')
        unproven.add(digest);
    return {
      image,
      parts: taken,
      manifests: manifestsOf(taken, nodes),
      problems: [...problems],
      absent: [...absent],
      hereOnly: [...parts.keys()].filter((digest) => !source.offers.has(digest)).length,
    };
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
    unproven,
  };
}

function manifestsOf(parts: readonly ContentEntry[], nodes: ManifestNodes): readonly ImageRoot[] {
  return parts.flatMap(({ digest }) => {
    const node = nodes.get(digest);
    return node === undefined || typeof node === 'string'
      ? []
      : [{ digest, mediaType: node.facts.mediaType }];
  });
}

/** Manifests of the archive, else those that are here: a delta leaves them out. */
async function readNodes(
  source: OpenedSource,
  contents: StoreContents,
  { root, nodes }: { readonly root: ImageRoot; readonly nodes: Map<Digest, ManifestNode | string> },
  signal: AbortSignal,
): Promise<void> {
  const problems = new Map<Digest, string>();
  const steps = walkImage(root, async ({ digest, mediaType }) => {
    signal.throwIfAborted();
    // Asked about before: platforms that came not along are named by many.
    if (nodes.get(digest) === '') return undefined;
    const found = await source.document(digest, signal);
    if (found !== undefined && digestOf(found, digestAlgorithm(digest)) === digest)
      return { bytes: found, mediaType };
    // What the archive has under that name is all that speaks for its having it.
    if (source.offers.has(digest)) {
      problems.set(digest, `${source.placeOf(digest)} was altered: its bytes are not those of its digest`);
      return undefined;
    }
    const bytes = await documentHere(contents, digest, signal);
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

/** What is stored, looked for first: reading asks for what is not there, too. */
async function documentHere(
  contents: StoreContents,
  digest: Digest,
  signal: AbortSignal,
): Promise<Buffer | undefined> {
  const [isLacking] = await contents.lacking([digest], signal);
  return isLacking === undefined ? storedDocument(contents, digest, signal) : undefined;
}
