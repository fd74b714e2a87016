import { mkdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { pack, type Header } from 'tar-stream';
import { describe, expect, test } from 'vitest';
import type { ImageArchive } from '../../src/oci-layout/image-archive.ts';
import { openArchive } from '../../src/oci-layout/open-archive.ts';
import { tempDir } from '../support/temp-dir.ts';

const never = new AbortController().signal;

type Entry = Partial<Header> & { readonly name: string; readonly bytes?: Buffer };

/** With whatever headers are asked for. */
async function tarOf(entries: readonly Entry[]): Promise<Buffer> {
  const packing = pack();
  for (const { bytes, ...header } of entries) packing.entry(header, bytes ?? Buffer.alloc(0));
  packing.finalize();
  const chunks: Buffer[] = [];
  for await (const chunk of packing as AsyncIterable<Buffer>) chunks.push(chunk);
  return Buffer.concat(chunks);
}

async function opened(bytes: Buffer): Promise<ImageArchive> {
  const path = join(await tempDir(), 'a.tar');
  await writeFile(path, bytes);
  return openArchive('a.tar', [path], never);
}

const INDEX = { name: 'index.json', bytes: Buffer.from('{}') };

describe.each([
  ['plain', (bytes: Buffer) => bytes],
  ['compressed', (bytes: Buffer) => gzipSync(bytes)],
])('a %s tar', (_, packed) => {
  test.each<[string, Entry, RegExp]>([
    [
      'a path that climbs',
      { name: '../../etc/passwd' },
      /the entry \.\.\/\.\.\/etc\/passwd has a path that leads elsewhere/,
    ],
    [
      'a path that climbs in the middle',
      { name: 'blobs/../../x' },
      /blobs\/\.\.\/\.\.\/x has a path that leads elsewhere/,
    ],
    ['an absolute path', { name: '/etc/passwd' }, /\/etc\/passwd has a path that leads elsewhere/],
    ['a backslash', { name: 'blobs\\x' }, /"blobs\\\\x" has a path that leads elsewhere/],
    ['an empty part', { name: 'blobs//x' }, /blobs\/\/x has a path that leads elsewhere/],
    ['too long a path', { name: `a/${'b'.repeat(2000)}` }, /has too long a path/],
    ['a document twice', { ...INDEX }, /index\.json is there twice/],
    [
      'a document that is a link as well',
      { name: 'index.json', type: 'symlink', linkname: 'x' },
      /index\.json is there twice/,
    ],
    [
      'a sparse file',
      { name: 'x', pax: { 'GNU.sparse.major': '1' } },
      /the entry x is of a kind that no image has/,
    ],
  ])('with %s is refused with the entry', async (_name, entry, sentence) => {
    await expect(opened(packed(await tarOf([INDEX, entry])))).rejects.toThrow(sentence);
  });

  test('with links and devices has none of them, and says so', async () => {
    const archive = await opened(
      packed(
        await tarOf([
          INDEX,
          { name: 'blobs/sha256/aa', type: 'symlink', linkname: '/etc/passwd' },
          { name: 'blobs/sha256/bb', type: 'symlink', linkname: '../../../etc/passwd' },
          { name: 'a/layer.tar', type: 'symlink', linkname: '../b/layer.tar' },
          { name: 'null', type: 'character-device' },
          { name: 'pipe', type: 'fifo' },
          { name: 'blobs/', type: 'directory' },
        ]),
      ),
    );
    expect([...archive.entries.keys()]).toEqual(['index.json']);
    expect(archive.linkedTo('blobs/sha256/aa')).toBeUndefined();
    expect(archive.linkedTo('blobs/sha256/bb')).toBeUndefined();
    expect(archive.linkedTo('a/layer.tar')).toBe('b/layer.tar');
    expect(archive.remarks).toEqual([
      'blobs/sha256/aa: is a link, passed over',
      'blobs/sha256/bb: is a link, passed over',
      'null: is no file (character-device), passed over',
      'pipe: is no file (fifo), passed over',
    ]);
    await archive.close();
  });

  test('gives the bytes of each entry, also after one that was left in the middle', async () => {
    const entries = [1, 2, 3].map((at) => ({ name: `file-${at}`, bytes: Buffer.alloc(2_500_000, at) }));
    const long = { name: `dir/${'n'.repeat(150)}`, bytes: Buffer.from('long') };
    const archive = await opened(packed(await tarOf([...entries, long])));
    const seen: Record<string, number> = {};
    for await (const { path, body } of archive.bodies(new Set(['file-1', 'file-3', long.name]), never)) {
      for await (const chunk of body) {
        seen[path] = (seen[path] ?? 0) + chunk.length;
        if (path === 'file-1') break;
      }
    }
    expect(seen['file-1']).toBeLessThan(2_500_000);
    expect(seen['file-3']).toBe(2_500_000);
    expect(seen[long.name]).toBe(4);
    expect(archive.isSeekable).toBe(archive.name === 'a.tar' && packed(Buffer.from('x')).toString() === 'x');
    await archive.close();
  });
});

test('a tar that grows without end is given up', async () => {
  const packing = pack();
  packing.entry({ name: 'zeros', size: 2 ** 40 });
  const header = await new Promise<Buffer>((resolve) => {
    packing.once('data', (data) => resolve(data as Buffer));
  });
  packing.destroy();
  // Members of a gzip follow each other: a MiB of nothing, more than a thousand times.
  const nothing = gzipSync(Buffer.alloc(1024 * 1024), { level: 9 });
  const bomb = Buffer.concat([gzipSync(header), ...Array.from({ length: 1100 }, () => nothing)]);
  await expect(opened(bomb)).rejects.toThrow('a.tar: it grows to more than 250 times its size');
});

test('what is no archive is named with what is read', async () => {
  await expect(opened(Buffer.from('hello'))).rejects.toThrow(
    'a.tar: is none of what is read: an OCI layout (directory or tar), a tar of docker save',
  );
  await expect(opened(Buffer.alloc(0))).rejects.toThrow('is none of what is read');
});

test('links in a directory are not followed', async () => {
  const directory = await tempDir();
  await mkdir(join(directory, 'blobs', 'sha256'), { recursive: true });
  await writeFile(join(directory, 'index.json'), '{}');
  await symlink('/etc/passwd', join(directory, 'blobs', 'sha256', 'aa'));
  const archive = await openArchive(directory, [directory], never);
  expect([...archive.entries.keys()]).toEqual(['index.json']);
});
