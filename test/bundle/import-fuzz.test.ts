import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { expect, test } from 'vitest';
import { type ImportFailure, type ImportedImage, runImport } from '../../src/bundle/import-run.ts';
import type { StoreContents } from '../../src/cache/store-contents.ts';
import { digestOf } from '../../src/oci/digest.ts';
import { all } from '../cache/store-operations-contract.ts';
import { directoryStore } from '../cache/store-subjects.ts';
import { bundleEntries, contentsOf, dockerSaveEntries, layoutEntries } from '../support/image-archives.ts';
import { buildImage } from '../support/images.ts';
import { randomNumbers } from '../support/random-numbers.ts';
import { tarArchive } from '../support/tar-archive.ts';
import { tempDir } from '../support/temp-dir.ts';

const never = new AbortController().signal;
const MULTI = buildImage({ platforms: ['linux/amd64', 'linux/arm64'] });
const ONE = buildImage({ seed: 2 });
const KNOWN = new Set(contentsOf([MULTI, ONE]).map(({ digest }) => digest));
const UPSTREAMS = [{ name: 'docker.io', default: true, profile: { hubNames: true } }];
const ROUNDS = 60;
/** In which a store is used: what is here already is not read again. */
const ROUNDS_OF_A_STORE = 6;

const NAMED = { upstream: 'docker.io', repository: 'library/app' };
const ARCHIVES = {
  bundle: tarArchive(
    bundleEntries({
      images: [
        { image: MULTI, ...NAMED, tags: ['multi'] },
        { image: ONE, ...NAMED, tags: ['one'] },
      ],
    }),
  ),
  layout: tarArchive(layoutEntries([{ image: MULTI, fullName: 'docker.io/library/app:multi' }])),
  saved: tarArchive(dockerSaveEntries([{ image: ONE, tags: ['app:one'] }])),
};

/** Everything that is stored has its digest, and every image that is listed is there whole. */
async function expectSound(contents: StoreContents, images: readonly ImportedImage[]): Promise<void> {
  for (const { digest } of await all(contents.list(never))) {
    const found = await contents.read(digest, never);
    const chunks: Buffer[] = [];
    for await (const chunk of found?.body ?? []) chunks.push(Buffer.from(chunk));
    expect(digestOf(Buffer.concat(chunks))).toBe(digest);
  }
  expect(
    await contents.lacking(
      images.map(({ digest }) => digest),
      never,
    ),
  ).toEqual([]);
}

function damaged(bytes: Buffer, random: () => number): Buffer {
  const copy = Buffer.from(bytes);
  const at = (): number => Math.floor(random() * copy.length);
  const kind = random();
  if (kind < 0.3) return copy.subarray(0, at());
  if (kind < 0.8) {
    for (let count = 0; count < 1 + Math.floor(random() * 4); count += 1) {
      const position = at();
      copy[position] = (copy[position] ?? 0) ^ (1 << Math.floor(random() * 8));
    }
    return copy;
  }
  // A stretch from elsewhere in it: whole headers end up where they do not belong.
  const [from, to] = [Math.floor(at() / 512) * 512, Math.floor(at() / 512) * 512];
  bytes.copy(copy, to, from, Math.min(from + 4096, bytes.length));
  return copy;
}

test.each(Object.keys(ARCHIVES) as (keyof typeof ARCHIVES)[])(
  'a %s that was damaged anyhow brings no wrong bytes, and ends in words',
  async (kind) => {
    const random = randomNumbers(42);
    const path = join(await tempDir(), 'archive.tar');
    const file = { name: 'archive.tar', pieces: [path] };
    const naming = { upstreams: UPSTREAMS };
    let [whole, failed] = [0, 0];
    for (let round = 0; round < ROUNDS;) {
      const subject = await directoryStore();
      const store = { operations: await subject.operations(), contents: await subject.contents() };
      const images: ImportedImage[] = [];
      for (let use = 0; use < ROUNDS_OF_A_STORE; use += 1, round += 1) {
        const plain = damaged(ARCHIVES[kind], random);
        await writeFile(path, round % 4 === 3 ? damaged(gzipSync(ARCHIVES[kind]), random) : plain);
        const failures: ImportFailure[] = [];
        const observer = {
          progress: () => undefined,
          remark: () => undefined,
          image: (image: ImportedImage) => void images.push(image),
          failure: (failure: ImportFailure) => void failures.push(failure),
        };
        await runImport({ files: [file], naming, publicKeys: [], dryRun: false }, store, observer, never);
        expect(
          failures.every(({ message }) => message.startsWith('archive.tar') || message.includes(': ')),
        ).toBe(true);
        if (failures.length > 0) failed += 1;
        else whole += 1;
      }
      await expectSound(store.contents, images);
      if (kind !== 'saved') expect(images.every(({ digest }) => KNOWN.has(digest))).toBe(true);
    }
    // Else it would test nothing.
    expect(failed).toBeGreaterThan(ROUNDS / 4);
    expect(whole + failed).toBe(ROUNDS);
  },
);
