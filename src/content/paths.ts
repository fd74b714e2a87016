import { dirname, join } from 'node:path';
import { type Digest, type DigestAlgorithm, digestAlgorithm, digestFrom, digestHex } from '../oci/digest.ts';

const ALGORITHMS: readonly DigestAlgorithm[] = ['sha256', 'sha512'];

/**
 * Where content lies below the data directory:
 *
 *     content/v1/sha256/4f/4f53cda1…      committed, whole and verified
 *     content/v1/ingest/<random>          on its way in
 *     content/v1/leftover-<random>/       what an earlier process had on its way in; removed in the background
 *     content/v1/quarantine/<number>-…    set aside: damaged content, and files whose names are no digests
 *
 * One file system holds them all, so that a rename publishes.
 */
export class ContentPaths {
  readonly root: string;
  readonly ingest: string;
  readonly quarantine: string;
  readonly #dataDir: string;

  constructor(dataDir: string) {
    this.#dataDir = dataDir;
    this.root = join(dataDir, 'content', 'v1');
    this.ingest = join(this.root, 'ingest');
    this.quarantine = join(this.root, 'quarantine');
  }

  /** The directories that hold the ones above, from the root up to the data directory. */
  get ancestors(): readonly string[] {
    return [this.root, dirname(this.root), this.#dataDir];
  }

  /** Where all content of an algorithm lies. */
  get algorithms(): readonly { readonly algorithm: DigestAlgorithm; readonly directory: string }[] {
    return ALGORITHMS.map((algorithm) => ({ algorithm, directory: join(this.root, algorithm) }));
  }

  directory(digest: Digest): string {
    return join(this.root, digestAlgorithm(digest), digestHex(digest).slice(0, 2));
  }

  file(digest: Digest): string {
    return join(this.directory(digest), digestHex(digest));
  }

  leftover(name: string): string {
    return join(this.root, `leftover-${name}`);
  }

  isLeftover(name: string): boolean {
    return name.startsWith('leftover-');
  }

  /** Whether a name in the root is one of ours. */
  isOwn(name: string): boolean {
    return name === 'ingest' || name === 'quarantine' || ALGORITHMS.some((algorithm) => algorithm === name);
  }

  /** Of a file `name` in the directory `shard` of an algorithm; `undefined` when no content is kept there under it. */
  digest(algorithm: DigestAlgorithm, shard: string, name: string): Digest | undefined {
    return name.slice(0, 2) === shard ? digestFrom(`${algorithm}:${name}`) : undefined;
  }
}
