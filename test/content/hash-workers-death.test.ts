import { Worker } from 'node:worker_threads';
import { expect, it, onTestFinished, vi } from 'vitest';
import { HashWorkers } from '../../src/content/hash-workers.ts';
import { SlabPool } from '../../src/content/slabs.ts';
import { digestOf } from '../../src/oci/digest.ts';

it('a job of a thread that died does no harm to the thread after it', async () => {
  const post = vi.spyOn(Worker.prototype, 'postMessage');
  const hashes = new HashWorkers(1);
  onTestFinished(async () => {
    post.mockRestore();
    await hashes.close();
  });
  const slab = await new SlabPool(4).acquire(new AbortController().signal);
  const old = hashes.start('sha256', undefined);
  const thread = post.mock.contexts[0] as Worker;
  const over = new Promise((resolve) => thread.once('exit', resolve));
  await thread.terminate();
  await over;

  const next = hashes.start('sha256', undefined);
  await expect(old.update(slab, 10)).rejects.toThrow('ended');
  await next.update(slab, 10);
  expect(`sha256:${await next.digest()}`).toBe(digestOf(slab.bytes.subarray(0, 10)));
});
