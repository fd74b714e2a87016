import { open, rename, rm, truncate, writeFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import type { Interval } from '../../src/content/intervals.ts';
import { type Digest, digestOf } from '../../src/oci/digest.ts';
import { sourceBytes } from '../support/byte-source.ts';
import { generatedBlob } from '../support/generated-blob.ts';
import { type Pulling, startPulling } from '../support/pulling.ts';

const MIB = 1024 * 1024;
const SIZE = 4 * MIB + 123;
const BOUNDARIES = [0, 1, 2, 3, 4];
const never = new AbortController().signal;

interface Warm {
  readonly pulling: Pulling;
  readonly digest: Digest;
  readonly file: string;
  readonly bytes: Buffer;
}

async function startWarm(): Promise<Warm> {
  const pulling = await startPulling();
  const digest = pulling.add(SIZE, 1);
  await pulling.pull(digest);
  await expect.poll(() => pulling.pullThrough.fillsInFlight).toBe(0);
  pulling.registry.forget();
  return {
    pulling,
    digest,
    file: pulling.fileOf(digest),
    bytes: sourceBytes(generatedBlob({ size: SIZE, seed: 1 })),
  };
}

/** All of an answer as a client gets it, `damage` done before the piece that begins at `boundary`. */
async function answered(warm: Warm, boundary: number, damage: () => Promise<unknown>): Promise<Buffer> {
  const { value, outcome } = await warm.pulling.open(warm.digest);
  expect(outcome).toBe('hit');
  const pieces: Buffer[] = [];
  try {
    for (let position = 0; position < SIZE;) {
      if (position === boundary * MIB) await damage();
      const chunk = await value.content?.read(position, MIB, never);
      if (chunk === undefined) throw new Error('no content');
      pieces.push(Buffer.from(chunk.bytes));
      position += chunk.bytes.length;
      chunk.release();
    }
    return Buffer.concat(pieces);
  } finally {
    value.content?.close();
  }
}

async function overwrite(file: string, position: number): Promise<void> {
  const handle = await open(file, 'r+');
  await handle.write(Buffer.alloc(1000, 'X'), 0, 1000, position);
  await handle.close();
}

/** Afterwards a pull is right, and from the cache again. */
async function expectHealed({ pulling, digest }: Warm): Promise<void> {
  expect((await pulling.pull(digest)).digest).toBe(digest);
  await expect.poll(() => pulling.pullThrough.fillsInFlight).toBe(0);
  expect(await pulling.pull(digest)).toEqual({ outcome: 'hit', digest });
}

describe.each(BOUNDARIES)('an answer whose file, before piece %i,', (at) => {
  it('is cut behind what was sent goes on from the upstream, and is whole', async () => {
    const warm = await startWarm();
    const got = await answered(warm, at, () => truncate(warm.file, Math.max(at, 1) * MIB));
    expect(got.equals(warm.bytes)).toBe(true);
    // The first piece was read when the blob was opened.
    expect(warm.pulling.told).toEqual(['integrity read']);
    await expectHealed(warm);
  });

  it('is cut before that never ends as if it were whole', async () => {
    const warm = await startWarm();
    const answer = answered(warm, at, () => truncate(warm.file, 0));
    if (at > 0) await expect(answer).rejects.toThrow(/damaged|shorter|not what the blob holds/);
    else expect((await answer.catch(() => warm.bytes)).equals(warm.bytes)).toBe(true);
    await expectHealed(warm);
  });

  it('is overwritten in place never ends as whole with wrong bytes', async () => {
    const warm = await startWarm();
    for (const position of [0, at * MIB, SIZE - 1000]) {
      const got = await answered(warm, at, () => overwrite(warm.file, position)).catch(() => undefined);
      if (got !== undefined) expect(got.equals(warm.bytes)).toBe(true);
      expect(warm.pulling.told).toContain('integrity read');
      await expectHealed(warm);
    }
  });

  it('is replaced by another, or removed, is whole all the same', async () => {
    const warm = await startWarm();
    await writeFile(`${warm.file}.new`, Buffer.alloc(SIZE, 'Y'));
    const got = await answered(warm, at, () => rename(`${warm.file}.new`, warm.file));
    expect(got.equals(warm.bytes)).toBe(true);
    await rm(warm.file);
    await expectHealed(warm);
    expect((await answered(warm, at, () => rm(warm.file))).equals(warm.bytes)).toBe(true);
  });

  it('cannot be read any more goes on from the upstream, and is whole', async () => {
    const warm = await startWarm();
    const { fileSystem, told, registry } = warm.pulling;
    const read = fileSystem.read.bind(fileSystem);
    const got = await answered(warm, at, async () => {
      fileSystem.read = async (...call) => {
        fileSystem.read = read;
        throw Object.assign(new Error(`EIO ${call.length}`), { code: 'EIO' });
      };
    });
    expect(got.equals(warm.bytes)).toBe(true);
    expect(told).toEqual(['integrity read']);
    expect(registry.blobBodyBytes()).toBeLessThan(2 * SIZE);
    await expectHealed(warm);
  });
});

it('a file that turns out bad fails its answer alone when the upstream cannot be asked', async () => {
  const warm = await startWarm();
  warm.pulling.registry.faults.add({ action: { respond: { status: 404 } } });
  await expect(answered(warm, 2, () => truncate(warm.file, 2 * MIB))).rejects.toThrow();
});

it('being out of descriptors in the middle of an answer is no reason to give a file up', async () => {
  const warm = await startWarm();
  const { fileSystem, told, registry } = warm.pulling;
  const read = fileSystem.read.bind(fileSystem);
  const got = await answered(warm, 2, async () => {
    fileSystem.read = async (...call) => {
      fileSystem.read = read;
      throw Object.assign(new Error(`ENOMEM ${call.length}`), { code: 'ENOMEM' });
    };
  });
  expect(got.equals(warm.bytes)).toBe(true);
  expect(told).toEqual(['failure content']);
  expect(registry.blobBodyBytes()).toBe(0);
});

it('ranges go on from the upstream where the file broke, in every stretch', async () => {
  for (const broken of [0, 1, 2]) {
    const warm = await startWarm();
    const stretches: readonly Interval[] = [
      { start: 100, end: 200_000 },
      { start: MIB, end: MIB + 300_000 },
      { start: 3 * MIB, end: 3 * MIB + 50 },
    ];
    const { value } = await warm.pulling.open(warm.digest, () => stretches);
    for (const [nth, { start, end }] of stretches.entries()) {
      if (nth === broken) await truncate(warm.file, stretches[Math.max(nth - 1, 0)]?.end);
      const pieces: Buffer[] = [];
      for (let position = start; position < end;) {
        const chunk = await value.content?.read(position, Math.min(64 * 1024, end - position), never);
        pieces.push(Buffer.from(chunk?.bytes ?? []));
        position += chunk?.bytes.length ?? 1;
        chunk?.release();
      }
      expect(digestOf(Buffer.concat(pieces))).toBe(digestOf(warm.bytes.subarray(start, end)));
    }
    value.content?.close();
  }
});
