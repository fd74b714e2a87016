import { join } from 'node:path';
import { type Digest, digestAlgorithm, digestHex } from '../oci/digest.ts';

/**
 * Where content lies below the data directory:
 *
 *     content/v1/sha256/4f/4f53cda1…   committed, whole and verified
 *     content/v1/ingest/<random>       on its way in; swept at start
 *
 * One file system holds both, so that a rename publishes.
 */
export class ContentPaths {
  readonly root: string;
  readonly ingest: string;

  constructor(dataDir: string) {
    this.root = join(dataDir, 'content', 'v1');
    this.ingest = join(this.root, 'ingest');
  }

  directory(digest: Digest): string {
    return join(this.root, digestAlgorithm(digest), digestHex(digest).slice(0, 2));
  }

  file(digest: Digest): string {
    return join(this.directory(digest), digestHex(digest));
  }
}
