import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, vi } from 'vitest';
import { runProgram } from '../../src/commands/program.ts';
import type { Digest } from '../../src/oci/digest.ts';
import { closeAfterTest } from '../support/close-after-test.ts';
import { FakeRegistry } from '../support/fake-registry.ts';
import { type FakeProcess, fakeProcess } from '../support/fake-process.ts';
import { get } from '../support/http-get.ts';
import { type BuiltContent, type BuiltImage, pushTo } from '../support/images.ts';
import { startApp } from '../support/running-app.ts';
import { SOON } from '../support/soon.ts';
import { tempDir } from '../support/temp-dir.ts';

export interface CachedImage {
  readonly repository: string;
  readonly tag: string;
  readonly image: BuiltImage;
  /** What was pulled of it; default: all. */
  readonly only?: (content: BuiltContent) => boolean;
}

export interface ExportScene {
  readonly registry: FakeRegistry;
  readonly dataDir: string;
  readonly workingDir: string;
  /** A command on the data directory. */
  readonly run: (...args: readonly string[]) => Promise<FinishedCommand>;
  readonly process: FakeProcess;
}

export interface FinishedCommand {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** A data directory into which images of Docker Hub were pulled, and commands on it in this process. */
export async function exportScene(cached: readonly CachedImage[]): Promise<ExportScene> {
  const registry = closeAfterTest(await FakeRegistry.start());
  const dataDir = join(await tempDir(), 'data');
  const app = await startApp({ upstreams: [{ name: 'docker.io', url: registry.url }], dataDir });
  const stored = new Set<Digest>();
  for (const { repository, tag, image, only = () => true } of cached) {
    pushTo(registry, { repository, tag, image });
    const base = `${app.url}/v2/${repository}`;
    const manifests = [
      { ...image.root, name: tag },
      ...image.manifests.map((each) => ({ ...each, name: each.digest })),
    ];
    for (const manifest of manifests.filter(only)) {
      const { mediaType, name, digest } = manifest;
      const { status } = await get(`${base}/manifests/${name}`, { headers: { accept: mediaType } });
      expect(status).toBe(200);
      stored.add(digest);
    }
    for (const { digest } of image.blobs.filter(only)) {
      expect((await get(`${base}/blobs/${digest}`)).status).toBe(200);
      stored.add(digest);
    }
  }
  await vi.waitFor(async () => {
    const status = (await (await fetch(`${app.adminUrl}/api/v1/status`)).json()) as {
      readonly blobs: number;
    };
    expect(status.blobs).toBe(stored.size);
  }, SOON);
  await app.close();
  const process = await fakeProcess({ ENTREPOT_DATA_DIR: dataDir });
  const run = async (...args: readonly string[]): Promise<FinishedCommand> => {
    const [out, err] = [process.stdout().length, process.stderr().length];
    const code = await runProgram(args, process.io);
    return { code, stdout: process.stdout().slice(out), stderr: process.stderr().slice(err) };
  };
  return { registry, dataDir, workingDir: process.io.workingDir, run, process };
}

/** The entries of a tar, in their order. */
export async function tarEntries(path: string): Promise<ReadonlyMap<string, Buffer>> {
  return entriesOf(await readFile(path));
}

/** Without the library that wrote it, for names of one block. */
export function entriesOf(tar: Buffer): ReadonlyMap<string, Buffer> {
  const entries = new Map<string, Buffer>();
  for (let position = 0; tar[position] !== 0;) {
    const name = tar.toString('latin1', position, position + 100).replace(/\0.*$/s, '');
    const size = Number.parseInt(tar.toString('latin1', position + 124, position + 135), 8);
    expect(tar[position + 156]).toBe('0'.charCodeAt(0));
    entries.set(name, tar.subarray(position + 512, position + 512 + size));
    position += 512 + Math.ceil(size / 512) * 512;
  }
  return entries;
}
