import { expect, it } from 'vitest';
import { SLAB_BYTES } from '../../src/content/slabs.ts';
import { digestOf } from '../../src/oci/digest.ts';
import { Gate } from '../support/gate.ts';
import { bytesOf, writeRange } from './content-store-contract.ts';
import { startDiskStore } from './disk-store.ts';

const BYTES = bytesOf(2 * SLAB_BYTES + 10);
const DIGEST = digestOf(BYTES);

/** The hash has read back all that was stored, and the disk takes its time with the last bytes. */
async function lateWrite() {
  const { store, slabs, fileSystem } = await startDiskStore();
  const gate = new Gate();
  const write = fileSystem.write.bind(fileSystem);
  fileSystem.write = async (file, bytes, length, position) => {
    if (position === 2 * SLAB_BYTES) await gate.pass();
    return write(file, bytes, length, position);
  };
  const ingest = await store.ingest(DIGEST, BYTES.length);
  const last = writeRange(slabs, ingest, BYTES, 2 * SLAB_BYTES);
  await gate.arrived();
  await writeRange(slabs, ingest, BYTES, 0, 2 * SLAB_BYTES);
  // Readers know the last bytes as soon as they came, so the fill asks for the digest.
  const verified = ingest.verify(BYTES.length);
  verified.catch(() => undefined);
  return { ingest, fileSystem, gate, last, verified };
}

it('a digest waits for bytes that the disk has not taken yet', async () => {
  const { ingest, gate, last, verified } = await lateWrite();
  gate.open();
  expect(await last).toBe(true);
  expect(await verified).toBe(DIGEST);
  await ingest.commit();
  await ingest.close();
});

it('a digest waits for bytes that the disk then does not take, which are hashed from memory', async () => {
  const { ingest, fileSystem, gate, last, verified } = await lateWrite();
  fileSystem.rule = (name) => (name === 'write' ? 'ENOSPC' : undefined);
  gate.open();
  expect(await last).toBe(false);
  expect(await verified).toBe(DIGEST);
  await ingest.close();
});

it('a digest of bytes that were never written is refused', async () => {
  const { store, slabs } = await startDiskStore();
  const ingest = await store.ingest(DIGEST, BYTES.length);
  await writeRange(slabs, ingest, BYTES, 0, SLAB_BYTES);
  await expect(ingest.verify(BYTES.length)).rejects.toMatchObject({ reason: 'damaged' });
  await ingest.close();
});
