import { expect, it } from 'vitest';
import { ContentChunks } from '../../src/cache/content-chunks.ts';
import type { Content } from '../../src/content/content.ts';
import { deferred } from '../../src/deferred.ts';
import { digestOf } from '../../src/oci/digest.ts';

it('gives back what was being read when its reader left', async () => {
  const bytes = Buffer.from('some bytes');
  const disk = deferred<undefined>();
  const told: string[] = [];
  const content: Content = {
    sizeBytes: bytes.length,
    read: async () => {
      await disk.promise;
      return { bytes, release: () => void told.push('released') };
    },
    close: () => void told.push('closed'),
  };
  const { signal } = new AbortController();
  const onClose = () => void told.push('over');
  const chunks = new ContentChunks({ content, digest: digestOf(bytes), signal, onClose });
  const next = chunks.next();
  await chunks.return();
  disk.resolve(undefined);
  expect(await next).toEqual({ done: true, value: undefined });
  expect(told).toEqual(['closed', 'over', 'released']);
});
