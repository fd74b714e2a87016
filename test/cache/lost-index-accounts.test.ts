import { describe, expect, it } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { Gate } from '../support/gate.ts';
import { startStore } from './store-under-test.ts';

const BLOCK = 4096;
const BYTES = Buffer.alloc(1000, 'entrepot');
const DIGEST = digestOf(BYTES);

describe('the books, when the index is lost', () => {
  it('while a blob is removed, has it count once', async () => {
    const store = await startStore();
    await store.cache.put(DIGEST, BYTES);
    const gate = new Gate();
    const deleting = store.content.delete.bind(store.content);
    store.content.delete = async (digest) => {
      await gate.pass();
      return deleting(digest);
    };
    const going = store.cache.remove(DIGEST);
    await gate.arrived();
    store.metadata.onLost?.('aside');
    gate.open();
    await going;
    expect(store.cache.usage).toMatchObject({ storedBytes: 0, storedBlobs: 0 });
  });

  it('while a blob is stored once more, has it count once', async () => {
    const store = await startStore();
    await store.cache.put(DIGEST, BYTES);
    const gate = new Gate();
    const putting = store.content.put.bind(store.content);
    store.content.put = async (digest, bytes) => {
      await gate.pass();
      return putting(digest, bytes);
    };
    const storing = store.cache.put(DIGEST, BYTES);
    await gate.arrived();
    store.metadata.onLost?.('aside');
    gate.open();
    expect(await storing).toBe(true);
    expect(store.cache.usage).toMatchObject({ storedBytes: BLOCK, storedBlobs: 1 });
  });
});
