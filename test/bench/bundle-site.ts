import { execFile } from 'node:child_process';
import { randomFillSync } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';
import { DirectoryLayout } from '../../src/oci-layout/directory-layout.ts';
import { blobPath } from '../../src/oci-layout/image-layout.ts';
import { indexDocument } from '../../src/oci-layout/index-document.ts';
import { digestOf } from '../../src/oci/digest.ts';
import { OCI_MANIFEST } from '../../src/oci/media-type.ts';
import { type MeasuredRun, measuredRun } from './measured-run.ts';

const UPSTREAM = 'registry.example';

/** A data directory with nobody upstream, and commands on it. */
export interface BundleSite {
  readonly dataDir: string;
  run(...args: readonly string[]): Promise<MeasuredRun>;
}

export async function bundleSite(dir: string): Promise<BundleSite> {
  const dataDir = join(dir, 'data');
  await mkdir(dataDir, { recursive: true });
  const config = join(dir, 'config.yaml');
  const upstreams = { [UPSTREAM]: { url: 'http://127.0.0.1:9', default: true } };
  await writeFile(config, JSON.stringify({ dataDir, upstreams, cache: { minFreeSpace: 0 } }));
  return {
    dataDir,
    run: (...args) => measuredRun(process.execPath, ['dist/entry.cjs', ...args, '--config', config]),
  };
}

/** Bytes that look compressed and cannot be, as a layer's do: gzip of what is random. */
export function layerBytes(sizeBytes: number): Buffer {
  return gzipSync(randomFillSync(Buffer.alloc(sizeBytes)), { level: 0 });
}

/** How an image of the layout is called. */
export function layoutImage(tag: string): string {
  return `${UPSTREAM}/team/bench:${tag}`;
}

/** An OCI layout of one image. @param layers made one after the other, and not kept */
export async function writeLayout(directory: string, tag: string, layers: Iterable<Buffer>): Promise<void> {
  const layout = await DirectoryLayout.open(directory);
  const add = async (mediaType: string, bytes: Buffer) => {
    const digest = digestOf(bytes);
    await layout.add({ name: blobPath(digest), sizeBytes: bytes.length }, [bytes]);
    return { mediaType, digest, size: bytes.length };
  };
  const listed = [];
  for (const bytes of layers) listed.push(await add('application/vnd.oci.image.layer.v1.tar+gzip', bytes));
  const config = JSON.stringify({
    architecture: 'amd64',
    os: 'linux',
    rootfs: { type: 'layers', diff_ids: listed.map(({ digest }) => digest) },
    config: { Labels: { tag } },
  });
  const manifest = JSON.stringify({
    schemaVersion: 2,
    mediaType: OCI_MANIFEST,
    config: await add('application/vnd.oci.image.config.v1+json', Buffer.from(config)),
    layers: listed,
  });
  const { mediaType, digest, size } = await add(OCI_MANIFEST, Buffer.from(manifest));
  const index = indexDocument([{ mediaType, digest, sizeBytes: size, name: layoutImage(tag) }]);
  for (const [name, text] of [
    ['index.json', index],
    ['oci-layout', '{"imageLayoutVersion":"1.0.0"}'],
  ] as const)
    await layout.add({ name, sizeBytes: Buffer.byteLength(text) }, [Buffer.from(text)]);
  await layout.finish();
}

/** All that was written below it is on the disk. @returns how long that took, in seconds */
export async function synced(path: string): Promise<number> {
  const startedMs = performance.now();
  await promisify(execFile)('sync', ['-f', path], { timeout: 600_000 });
  return (performance.now() - startedMs) / 1000;
}
