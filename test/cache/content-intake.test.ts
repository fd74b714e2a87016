import { expect, it } from 'vitest';
import { takeIn } from '../../src/cache/content-intake.ts';
import { SparedContents } from '../../src/cache/spared-contents.ts';
import { deferred } from '../../src/deferred.ts';
import { digestOf } from '../../src/oci/digest.ts';
import { contentIntakeContract } from './content-intake-contract.ts';
import { directoryStore, servedStore } from './store-subjects.ts';
import { startStore } from './store-under-test.ts';

contentIntakeContract('a server', servedStore);
contentIntakeContract('the directory itself', directoryStore);

it('content that is brought slowly takes no memory that fills need', async () => {
  const { cache, slabs, clock } = await startStore();
  const spared = new SparedContents(clock);
  const rest = deferred<undefined>();
  const begun: Promise<void>[] = [];
  const adding = Array.from({ length: 8 }, async (_, at) => {
    const bytes = Buffer.from(`content ${at}`);
    const half = deferred<undefined>();
    begun.push(half.promise.then(() => undefined));
    async function* slowly(): AsyncGenerator<Uint8Array> {
      yield bytes.subarray(0, 4);
      half.resolve(undefined);
      await rest.promise;
      yield bytes.subarray(4);
    }
    const content = { digest: digestOf(bytes), sizeBytes: bytes.length, upstream: 'docker.io' };
    return takeIn({ cache, slabs, spared }, content, slowly(), new AbortController().signal);
  });
  await Promise.all(begun.slice(0, 4));
  const slab = await slabs.acquire(AbortSignal.timeout(15_000));
  slab.release();
  rest.resolve(undefined);
  expect(new Set(await Promise.all(adding))).toEqual(new Set(['added']));
});
