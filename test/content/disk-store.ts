import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { DiskContentStore, type DiskContentStoreParts } from '../../src/content/disk-content-store.ts';
import { HashWorkers } from '../../src/content/hash-workers.ts';
import { ReadBuffers } from '../../src/content/read-buffers.ts';
import { SlabPool } from '../../src/content/slabs.ts';
import { type Digest, digestAlgorithm, digestHex } from '../../src/oci/digest.ts';
import { closeAfterTest } from '../support/close-after-test.ts';
import { failingFileSystem } from '../support/failing-file-system.ts';
import { tempDir } from '../support/temp-dir.ts';

/** A store on a real directory, whose file system can be made to fail. Closed when the running test has finished. */
export async function startDiskStore(dataDir?: string, more: Partial<DiskContentStoreParts> = {}) {
  const directory = dataDir ?? (await tempDir());
  const fileSystem = failingFileSystem();
  const slabs = new SlabPool(8);
  const hashes = closeAfterTest(new HashWorkers(1));
  const parts = { hashes, slabs, buffers: new ReadBuffers(2), fileSystem, ...more };
  const store = closeAfterTest(await DiskContentStore.open(directory, parts));
  fileSystem.calls.length = 0;
  const root = join(directory, 'content', 'v1');
  const fileOf = (digest: Digest) =>
    join(root, digestAlgorithm(digest), digestHex(digest).slice(0, 2), digestHex(digest));
  const ingesting = () => readdir(join(root, 'ingest'));
  return { store, slabs, fileSystem, parts, dataDir: directory, root, fileOf, ingesting };
}

export type DiskStoreUnderTest = Awaited<ReturnType<typeof startDiskStore>>;
