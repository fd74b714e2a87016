import { createHash } from 'node:crypto';
import type { StoreContents, WantedContent } from '../cache/store-contents.ts';
import type { RepositoryKey } from '../metadata/repository-key.ts';
import { type Digest, digestAlgorithm, digestFromHash } from '../oci/digest.ts';
import type { ManifestNodes } from './import-judge.ts';
import type { ArrivingImage, OpenedSource } from './import-source.ts';

/**
 * Knowing a digest gives nothing, also not to whoever writes an archive: what is here of other repositories is not an
 * image's because its manifest lists it.
 * @returns by image, whether content is not known to be its repositories'; true as well for what is not stored
 */
export async function foreignParts(
  images: readonly ArrivingImage[],
  nodes: ManifestNodes,
  contents: Pick<StoreContents, 'withheld'>,
  signal: AbortSignal,
): Promise<(image: ArrivingImage) => (digest: Digest) => boolean> {
  const wanted = new Map<string, { readonly key: RepositoryKey; readonly roots: Set<Digest> }>();
  for (const { names, root } of images)
    for (const { upstream, repository } of names) {
      const text = `${upstream}/${repository}`;
      const known = wanted.get(text) ?? { key: { upstream, repository }, roots: new Set() };
      wanted.set(text, known);
      known.roots.add(root.digest);
    }
  const withheld = new Map<string, ReadonlySet<Digest>>();
  for (const [text, { key, roots }] of wanted)
    withheld.set(text, new Set(await contents.withheld(key, treeOf(roots, nodes), signal)));
  return ({ names }) => {
    const own = names.map(({ upstream, repository }) => withheld.get(`${upstream}/${repository}`));
    return (digest) => own.some((some) => some?.has(digest) !== false);
  };
}

/** Compares what an archive brings with its digests, and takes nothing in. @returns those whose bytes are others */
export async function alteredOf(
  source: OpenedSource,
  digests: ReadonlySet<Digest>,
  onBytes: (bytes: number) => void,
  signal: AbortSignal,
): Promise<ReadonlySet<Digest>> {
  const altered = new Set(digests);
  if (digests.size === 0) return altered;
  for await (const { digest, body } of source.bodies(digests, signal)) {
    const algorithm = digestAlgorithm(digest);
    const hash = createHash(algorithm);
    for await (const chunk of body) {
      hash.update(chunk);
      onBytes(chunk.length);
    }
    if (digestFromHash(algorithm, hash) === digest) altered.delete(digest);
  }
  return altered;
}

/** All that is reached from some manifests. */
function treeOf(roots: ReadonlySet<Digest>, nodes: ManifestNodes): readonly WantedContent[] {
  const found = new Map<Digest, WantedContent>();
  const waiting = [...roots];
  for (let digest = waiting.pop(); digest !== undefined; digest = waiting.pop()) {
    if (found.has(digest)) continue;
    const node = nodes.get(digest);
    found.set(digest, { digest, isManifest: node !== undefined });
    if (node === undefined || typeof node === 'string') continue;
    for (const child of node.facts.descriptors) waiting.push(child.digest);
  }
  return [...found.values()];
}
