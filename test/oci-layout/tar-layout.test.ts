import { createReadStream, existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as zlib from 'node:zlib';
import { extract, type Header } from 'tar-stream';
import { expect, test } from 'vitest';
import type { ByteSink } from '../../src/oci-layout/byte-sink.ts';
import { blobPath } from '../../src/oci-layout/image-layout.ts';
import { openOutput, prepareOutput } from '../../src/oci-layout/layout-output.ts';
import { TarLayout } from '../../src/oci-layout/tar-layout.ts';
import { digestOf } from '../../src/oci/digest.ts';
import { tempDir } from '../support/temp-dir.ts';

/** Keeps what it is given, up to a bound. */
function memorySink(
  limitBytes = Infinity,
): ByteSink & { readonly bytes: () => Buffer; readonly length: () => number } {
  const chunks: Buffer[] = [];
  let length = 0;
  return {
    bytes: () => Buffer.concat(chunks),
    length: () => length,
    write: async (bytes) => {
      if (length < limitBytes) chunks.push(Buffer.from(bytes));
      length += bytes.length;
    },
    finish: async () => [],
    abandon: async () => undefined,
  };
}

async function headersOf(tar: Buffer): Promise<readonly Header[]> {
  const found: Header[] = [];
  const reader = extract();
  reader.on('entry', (header, stream, next) => {
    found.push(header);
    stream.on('end', () => next()).resume();
  });
  const over = new Promise((resolve) => reader.on('finish', () => resolve(undefined)));
  reader.end(tar);
  await over;
  return found;
}

test('names that are longer than a header’s are read back in full', async () => {
  const sink = memorySink();
  const layout = new TarLayout(sink);
  const bytes = Buffer.from('long');
  const name = blobPath(digestOf(bytes, 'sha512'));
  expect(name.length).toBeGreaterThan(100);
  await layout.add({ name, sizeBytes: 4 }, [bytes]);
  await layout.add({ name: 'oci-layout', sizeBytes: 0 }, []);
  await layout.finish();
  const headers = await headersOf(sink.bytes());
  expect(headers.map((header) => [header.name, header.size, header.type])).toEqual([
    [name, 4, 'file'],
    ['oci-layout', 0, 'file'],
  ]);
  expect(sink.length() % 512).toBe(0);
});

test('a body of more than 8 GiB has its size in the header', async () => {
  const sizeBytes = 9 * 2 ** 30 + 5;
  const sink = memorySink(512);
  const layout = new TarLayout(sink);
  const chunk = Buffer.alloc(64 * 1024 * 1024);
  function* body() {
    for (let left = sizeBytes; left > 0; left -= chunk.length) yield chunk.subarray(0, left);
  }
  await layout.add({ name: 'blobs/sha256/large', sizeBytes }, body());
  const [first] = [sink.bytes().subarray(0, 512)];
  // Base 256 (GNU's and POSIX 2001's): the top bit, then the number.
  expect(first[124]).toBe(0x80);
  expect(Number(first.readBigUInt64BE(128))).toBe(sizeBytes);
  expect(sink.length()).toBe(512 + Math.ceil(sizeBytes / 512) * 512);
});

test('a body of another length than was announced is no entry', async () => {
  for (const bytes of ['short', 'much too long'])
    await expect(
      new TarLayout(memorySink()).add({ name: 'blobs/sha256/a', sizeBytes: 6 }, [Buffer.from(bytes)]),
    ).rejects.toThrow('another length');
});

test('zstd is Node’s own: it reads back as the tar, or is refused with what to do', async () => {
  const path = join(await tempDir(), 'bundle.tar.zst');
  const options = { path, format: 'tar.zst', force: false } as const;
  const { createZstdDecompress } = zlib as { readonly createZstdDecompress?: () => zlib.Unzip };
  if (createZstdDecompress === undefined) {
    await expect(prepareOutput(options)).rejects.toThrow('bundle.tar.zst: zstd needs Node 22.15 or later');
    expect(existsSync(path)).toBe(false);
    return;
  }
  const bytes = Buffer.alloc(20 * 1024 * 1024, 'layer');
  await prepareOutput(options);
  const layout = await openOutput(options, 0);
  await layout.add({ name: 'blobs/sha256/a', sizeBytes: bytes.length }, [bytes]);
  await layout.finish();
  expect((await readFile(path)).length).toBeLessThan(bytes.length / 100);
  const chunks: Buffer[] = [];
  for await (const chunk of createReadStream(path).pipe(createZstdDecompress())) chunks.push(chunk as Buffer);
  const tar = Buffer.concat(chunks);
  expect(tar.subarray(512, 512 + bytes.length).equals(bytes)).toBe(true);
});
