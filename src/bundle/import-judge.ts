import type { ContentEntry } from '../cache/store-contents.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import type { Digest } from '../oci/digest.ts';
import type { ManifestFacts } from '../oci/manifest.ts';
import { MANIFEST_MEDIA_TYPES } from '../oci/media-type.ts';
import type { OpenedSource } from './import-source.ts';

/** A manifest that was read. */
export interface ManifestNode {
  readonly sizeBytes: number;
  readonly facts: ManifestFacts;
}

/** Manifests by digest; in place of one that cannot be had why, empty for one that is nowhere. */
export type ManifestNodes = ReadonlyMap<Digest, ManifestNode | string>;

/** What there is of a manifest and of all that it lists, each once. */
export interface Judgement {
  readonly isComplete: boolean;
  /** Something of it was lost or altered: not left out by whoever wrote it, who may have wanted some platforms alone. */
  readonly isDamaged: boolean;
  /** With their sizes in bytes; what lists comes after what is listed. */
  readonly parts: ReadonlyMap<Digest, number>;
  readonly problems: ReadonlySet<string>;
  readonly absent: ReadonlySet<Digest>;
}

/** Which manifests of an image can be had with all that they list. */
export class Judge {
  readonly #source: OpenedSource;
  readonly #nodes: ManifestNodes;
  readonly #isHere: (digest: Digest) => boolean;
  readonly #known = new Map<Digest, Judgement>();

  /** @param isHere whether the image may have it from the store */
  constructor(source: OpenedSource, nodes: ManifestNodes, isHere: (digest: Digest) => boolean) {
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
    const node = this.#nodeOf(digest);
    if (node === '')
      return {
        ...NOTHING,
        isDamaged: this.#source.promised.has(digest),
        problems: new Set([`${this.#source.placeOf(digest)}: is missing`]),
        absent: new Set([digest]),
      };
    if (typeof node === 'string') return { ...NOTHING, isDamaged: true, problems: new Set([node]) };
    return node.facts.isIndex ? this.#ofIndex(digest, node) : this.#ofManifest(digest, node);
  }

  /** One that was read from the store counts if the image may have it from there. */
  #nodeOf(digest: Digest): ManifestNode | string {
    const node = this.#nodes.get(digest) ?? '';
    if (typeof node === 'string') return node;
    return this.#source.offers.has(digest) || this.#isHere(digest) ? node : '';
  }

  #ofManifest(digest: Digest, { sizeBytes, facts }: ManifestNode): Judgement {
    const listed = facts.descriptors.filter(({ held }) => held);
    const problems = new Set(listed.flatMap((blob) => this.#problemOf(blob, digest) ?? []));
    const parts = new Map(listed.map(({ digest: blob, size }) => [blob, size]));
    parts.set(digest, sizeBytes);
    const isDamaged = listed.some((blob) => this.#isLost(blob));
    return { isComplete: problems.size === 0, isDamaged, parts, problems, absent: new Set() };
  }

  /** Of use with one platform, too: what else it names may have been left out on purpose; but not with a damaged one. */
  #ofIndex(digest: Digest, { sizeBytes, facts }: ManifestNode): Judgement {
    const parts = new Map<Digest, number>();
    const problems = new Set<string>();
    const absent = new Set<Digest>();
    let isOfUse = facts.descriptors.length === 0;
    let isDamaged = false;
    // One that is listed often counts once: archives may be made to be large.
    for (const child of new Map(facts.descriptors.map((one) => [one.digest, one])).values()) {
      if (!MANIFEST_MEDIA_TYPES.includes(child.mediaType)) {
        const problem = child.held ? this.#problemOf(child, digest) : undefined;
        if (problem !== undefined) problems.add(problem);
        else if (child.held) parts.set(child.digest, child.size);
        isOfUse ||= problem === undefined;
        isDamaged ||= child.held && this.#isLost(child);
        continue;
      }
      const judged = this.of(child.digest);
      isDamaged ||= judged.isDamaged;
      if (judged.isComplete) {
        for (const [part, size] of judged.parts) parts.set(part, size);
        isOfUse ||= child.attests === undefined;
      } else if (this.#nodeOf(child.digest) === '' && !judged.isDamaged) {
        absent.add(child.digest);
        continue;
      }
      for (const problem of judged.problems) problems.add(problem);
      for (const one of judged.absent) absent.add(one);
    }
    if (!isOfUse && problems.size === 0)
      problems.add(`${this.#source.placeOf(digest)}: none of the manifests that it names is there`);
    parts.set(digest, sizeBytes);
    return { isComplete: isOfUse && !isDamaged, isDamaged, parts, problems, absent };
  }

  /** Not here, and either altered or promised. */
  #isLost({ digest, size }: Descriptor): boolean {
    if (this.#isHere(digest)) return false;
    const offered = this.#source.offers.get(digest);
    return offered === undefined ? this.#source.promised.has(digest) : offered.sizeBytes !== size;
  }

  #problemOf(blob: Descriptor, manifest: Digest): string | undefined {
    if (this.#isHere(blob.digest)) return undefined;
    const offered = this.#source.offers.get(blob.digest);
    const place = this.#source.placeOf(blob.digest);
    if (offered === undefined && this.#source.leftOut.has(blob.digest))
      return `${place}: was left out because the other side was to have it, and it is not here`;
    if (offered === undefined)
      return `${place}: is missing, and not here either (of its repository); ${manifest} lists it`;
    if (offered.sizeBytes === blob.size) return undefined;
    return `${place}: has ${offered.sizeBytes} bytes, and ${manifest} says ${blob.size}`;
  }
}

const NOTHING: Judgement = {
  isComplete: false,
  isDamaged: false,
  parts: new Map(),
  problems: new Set(),
  absent: new Set(),
};

export function entriesOf(parts: ReadonlyMap<Digest, number>): readonly ContentEntry[] {
  return [...parts].map(([digest, sizeBytes]) => ({ digest, sizeBytes }));
}
