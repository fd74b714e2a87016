import { expect, it, onTestFinished } from 'vitest';
import { HashWorkers } from '../../src/content/hash-workers.ts';
import { SlabPool } from '../../src/content/slabs.ts';
import { digestOf } from '../../src/oci/digest.ts';

const IDLE_MS = 50;

it('a thread runs from the first job to some time after the last, and again when there is another', async () => {
  const hashes = new HashWorkers(2, IDLE_MS);
  onTestFinished(async () => hashes.close());
  expect(hashes.threadCount).toBe(0);
  const slab = await new SlabPool(4).acquire(new AbortController().signal);
  const digest = digestOf(slab.bytes.subarray(0, 10));
  for (const round of ['first', 'second']) {
    const job = hashes.start('sha256', undefined);
    expect(hashes.threadCount, round).toBe(1);
    // However long a job takes, its thread stays.
    await new Promise((resolve) => void setTimeout(resolve, 2 * IDLE_MS));
    await job.update(slab, 10);
    expect(`sha256:${await job.digest()}`).toBe(digest);
    await expect.poll(() => hashes.threadCount).toBe(0);
  }
});

it('a thread ends after a job that was given up, too', async () => {
  const hashes = new HashWorkers(1, IDLE_MS);
  onTestFinished(async () => hashes.close());
  const job = hashes.start('sha256', undefined);
  job.drop();
  await expect.poll(() => hashes.threadCount).toBe(0);
});
