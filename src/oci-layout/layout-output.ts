import { readdir, rm, statfs } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { ByteSink } from './byte-sink.ts';
import { DirectoryLayout, formerName, isReplaceable, removeLayout } from './directory-layout.ts';
import { FileSink } from './file-sink.ts';
import type { LayoutSink } from './layout-sink.ts';
import { factsOf, isThere } from './file-facts.ts';
import { OutputError, outputErrorFrom } from './output-error.ts';
import { PackedSink } from './packed-sink.ts';
import { partialName, removePartial } from './partial-name.ts';
import { partPath, PartsSink, type PartsSinkOptions } from './parts-sink.ts';
import { TarLayout } from './tar-layout.ts';
import { zstdPacker } from './zstd.ts';

export type LayoutFormat = 'tar' | 'tar.zst' | 'directory';

export interface LayoutOutputOptions {
  readonly path: string;
  readonly format: LayoutFormat;
  /** Of tars only. Absent: one file, however large. */
  readonly parts?: Omit<PartsSinkOptions, 'path'> | undefined;
  /** May what is there already be replaced? */
  readonly force: boolean;
}

/** What a name stands for; `undefined` for one that looks like a format that is not written. */
export function formatOf(name: string): LayoutFormat | undefined {
  if (name.endsWith('.tar')) return 'tar';
  if (/\.(?:tar\.zst|tzst)$/.test(name)) return 'tar.zst';
  return /\.(?:tgz|tbz2?|txz|zip|gz|bz2|xz|zst)$/.test(name) ? undefined : 'directory';
}

/** What is said of a set of parts. */
export function partsListPath(path: string): string {
  return `${path}.parts.json`;
}

/**
 * Looks whether the output can be written: nothing is there that must stay. What an interrupted run left goes.
 * @returns what went
 * @throws OutputError
 */
export async function prepareOutput(options: LayoutOutputOptions): Promise<readonly string[]> {
  const { path, format, parts, force } = options;
  try {
    if (!force) await assertFree(options);
    else if (format === 'directory' && (await isThere(path)) && !(await isReplaceable(path)))
      throw new OutputError(
        'exists',
        `${path}: it is no OCI layout, or has other files in it, so it is not replaced`,
      );
    else if (format !== 'directory' && (await isDirectory(path)))
      throw new OutputError('exists', `${path}: it is a directory, so it is not replaced`);
    if (format === 'directory') await assertNoOthers(formerName(path));
    if (format === 'tar.zst') zstdPacker(path).destroy();
    if (parts === undefined) return (await removeLeft(path)) ? [path] : [];
    return await removePartialParts(path);
  } catch (cause) {
    throw outputErrorFrom(cause, path);
  }
}

/**
 * After `prepareOutput`.
 * @param leastBytes of the whole, where that is known: what the disk has no room for is not begun
 * @throws OutputError
 */
export async function openOutput(options: LayoutOutputOptions, leastBytes: number): Promise<LayoutSink> {
  const { path, format, parts } = options;
  if (format !== 'tar.zst') await assertRoom(path, leastBytes);
  if (format === 'directory') return DirectoryLayout.open(path);
  const sink: ByteSink = parts === undefined ? await FileSink.open(path) : new PartsSink({ ...parts, path });
  return new TarLayout(format === 'tar' ? sink : new PackedSink(zstdPacker(path), sink));
}

/** It goes in the end, so it has to be what an interrupted run left. */
async function assertNoOthers(former: string): Promise<void> {
  if (!(await isThere(former)) || ((await isDirectory(former)) && (await isReplaceable(former)))) return;
  throw new OutputError('exists', `${former}: it is in the way, and no OCI layout: take it away first`);
}

async function assertFree({ path, parts }: LayoutOutputOptions): Promise<void> {
  const taken = parts === undefined ? [path] : [partPath(path, 1), partsListPath(path)];
  for (const name of taken)
    if (await isThere(name)) throw new OutputError('exists', `${name} is there already: --force replaces it`);
}

async function removeLeft(path: string): Promise<boolean> {
  const partial = partialName(path);
  if (!(await isDirectory(partial))) return removePartial(path);
  await removeLayout(partial);
  return true;
}

async function removePartialParts(path: string): Promise<readonly string[]> {
  const removed: string[] = [];
  const start = `${basename(path)}.`;
  for (const name of await readdir(dirname(path))) {
    if (
      !name.startsWith(start) ||
      !/^\d{3}\.partial$|^parts\.json(?:\.sig)?\.partial$/.test(name.slice(start.length))
    )
      continue;
    await rm(join(dirname(path), name));
    removed.push(join(dirname(path), name.replace(/\.partial$/, '')));
  }
  return removed;
}

async function assertRoom(path: string, leastBytes: number): Promise<void> {
  const { bavail, bsize, blocks } = await statfs(dirname(path)).catch((cause: unknown) => {
    throw outputErrorFrom(cause, path);
  });
  // Some file systems do not tell.
  if (blocks === 0 || bavail * bsize >= leastBytes) return;
  throw new OutputError(
    'no-space',
    `${path}: it needs ${leastBytes} bytes, and the disk has ${bavail * bsize} left`,
  );
}

async function isDirectory(path: string): Promise<boolean> {
  return (await factsOf(path))?.isDirectory() === true;
}
