import { createHash } from 'node:crypto';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { expect, test } from 'vitest';
import { readInventory, writeInventory } from '../../src/bundle/inventory.ts';
import { type Digest, digestOf } from '../../src/oci/digest.ts';
import { tempDir } from '../support/temp-dir.ts';

const never = new AbortController().signal;
const FACTS = { createdAt: 0, createdBy: 'entrepot 1.2.3' };

function listing(digests: readonly Digest[]) {
  return {
    async *list() {
      for (const digest of digests) yield { digest, sizeBytes: 1 };
    },
  };
}

async function written(digests: readonly Digest[]): Promise<string> {
  const path = join(await tempDir(), 'inventory');
  await writeInventory(path, listing(digests), FACTS, never);
  return path;
}

const SOME = [digestOf(Buffer.from('a')), digestOf(Buffer.from('b')), digestOf(Buffer.from('c'), 'sha512')];

test('an inventory reads back as what is stored, and equal stores have equal ones', async () => {
  const path = await written(SOME);
  expect(await readInventory(path, never)).toEqual(new Set(SOME));
  expect(await readFile(await written(SOME.toReversed()))).toEqual(await readFile(path));
  expect(await readInventory(await written([]), never)).toEqual(new Set());
});

test('one of 100,000 blobs is smaller than 5 MB', async () => {
  const many = Array.from(
    { length: 100_000 },
    (_, at) => `sha256:${createHash('sha256').update(String(at)).digest('hex')}` as Digest,
  );
  const path = await written(many);
  expect((await readFile(path)).length).toBeLessThan(5_000_000);
  expect((await readInventory(path, never)).size).toBe(100_000);
});

test('what is none, was cut off or changed is refused by its name, with its line', async () => {
  const right = await readFile(await written(SOME));
  const text = gunzipSync(right).toString();
  const lines = text.split('\n');
  for (const [bytes, said] of [
    [Buffer.from('nginx:1.27\n'), 'it is no inventory'],
    [Buffer.alloc(0), 'cut off'],
    [gzipSync('nginx:1.27\n'), 'it is no inventory'],
    [gzipSync('{"entrepotInventory":2}\n'), 'it is of version 2, and this entrepot reads version 1'],
    [right.subarray(0, right.length - 20), 'cut off'],
    [gzipSync(lines.slice(0, 3).join('\n')), 'it lists 2 digests and not 3'],
    [gzipSync([...lines.slice(0, 2), 'nginx', ''].join('\n')), 'file:3: it is not a digest'],
    [gzipSync('x'.repeat(100_000)), 'it is no inventory'],
    // Nobody waits for the end of such a line, be it there or not.
    [gzipSync('x'.repeat(4_000_000)).subarray(0, -20), 'it is no inventory'],
  ] as const) {
    const path = join(await tempDir(), 'file');
    await writeFile(path, bytes);
    await expect(readInventory(path, never), said).rejects.toThrow(said);
    await expect(readInventory(path, never)).rejects.toMatchObject({ name: 'BundleError' });
  }
  await expect(readInventory('/no/such', never)).rejects.toThrow('/no/such: there is no such file');
});

test('one that cannot be listed to its end leaves no file', async () => {
  const directory = await tempDir();
  const failing = {
    async *list() {
      yield { digest: SOME[0] as Digest, sizeBytes: 1 };
      throw new Error('the index broke');
    },
  };
  await expect(writeInventory(join(directory, 'i'), failing, FACTS, never)).rejects.toThrow(
    'the index broke',
  );
  expect(await readdir(directory)).toEqual([]);
});
