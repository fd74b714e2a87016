import { mkdir, readFile } from 'node:fs/promises';
import { arch } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { BundleError } from '../bundle/bundle-error.ts';
import { BUNDLE_VERSION, type BundleParts } from '../bundle/bundle-manifest.ts';
import { type ExportImage, exportImages } from '../bundle/export-images.ts';
import { type ExportResult, runExport } from '../bundle/export-run.ts';
import { readInventory } from '../bundle/inventory.ts';
import { privateKeyFrom, signatureOf } from '../bundle/signature.ts';
import { systemClock } from '../clock.ts';
import { parseSize } from '../config-text.ts';
import type { Config } from '../config.ts';
import {
  formatOf,
  type LayoutFormat,
  type LayoutOutputOptions,
  openOutput,
  partsListPath,
  prepareOutput,
} from '../oci-layout/layout-output.ts';
import { outputErrorFrom } from '../oci-layout/output-error.ts';
import type { WholeOfParts } from '../oci-layout/parts-sink.ts';
import type { Digest } from '../oci/digest.ts';
import { type ImagePattern, parseImagePattern } from '../oci/image-pattern.ts';
import type { Platform } from '../oci/platform.ts';
import type { CommandIo } from './command-io.ts';
import { ExportReport } from './export-report.ts';
import { chooseImages } from './image-choice.ts';
import type { ImageOptions } from './image-options.ts';
import { type ImageRequest, parseImageOptions } from './image-request.ts';
import { runOnStore, type StoreCommandContext, type StoreCommandOptions } from './store-command.ts';
import { UsageError } from './usage-error.ts';

export interface ExportOptions extends StoreCommandOptions, ImageOptions {
  readonly output: string;
  readonly splitImages?: boolean;
  readonly missingOnlyFrom?: string;
  readonly maxPartSize?: string;
  readonly sign?: string;
  readonly force?: boolean;
}

interface Prepared {
  readonly request: ImageRequest;
  readonly patterns: readonly ImagePattern[];
  readonly path: string;
  /** Of each file, when images are split. */
  readonly format: LayoutFormat;
  readonly maxPartBytes: number | undefined;
}

type SigningKey = ReturnType<typeof privateKeyFrom>;

/** More is no key. */
const KEY_BYTES_LIMIT = 16 * 1024;
/** Smaller ones are a mistake: a tar of nothing has more. */
const LEAST_PART_BYTES = 1024 * 1024;
const ARCHITECTURES: Readonly<Record<string, string>> = { x64: 'amd64', ia32: '386', loong64: 'loong64' };

/** Writes what is cached into a bundle. @returns the exit code; 1 also when something of what was named is not in it */
export async function exportCommand(
  texts: readonly string[],
  options: ExportOptions,
  io: CommandIo,
): Promise<number> {
  return runOnStore(
    options,
    io,
    (config) => prepare(texts, options, config, io),
    async (prepared, context) => {
      const report = new ExportReport(io, options.json === true);
      try {
        return await work(prepared, options, context, report);
      } finally {
        report.end();
      }
    },
  );
}

/** @throws UsageError */
function prepare(
  texts: readonly string[],
  options: ExportOptions,
  { upstreams }: Config,
  io: CommandIo,
): Prepared {
  const isPattern = (text: string): boolean =>
    text.includes('*') || upstreams.some(({ name }) => name === text);
  const patterns = texts.filter(isPattern).map((text) => {
    const pattern = parseImagePattern(text, upstreams);
    if ('problem' in pattern) throw new UsageError(`${text}: ${pattern.problem}`);
    return pattern;
  });
  const named = texts.filter((text) => !isPattern(text));
  const request = parseImageOptions(named, options, upstreams, patterns.length > 0);
  const path = resolve(io.workingDir, options.output);
  const format = formatOf(basename(path));
  if (format === undefined || options.output === '-')
    throw new UsageError(
      `--output ${options.output}: accepted is a name that ends in .tar or .tar.zst, or a directory's`,
    );
  if (options.splitImages === true && format !== 'directory')
    throw new UsageError(`--output ${options.output}: with --split-images it is the directory of the files`);
  const written = options.splitImages === true ? 'tar' : format;
  return { request, patterns, path, format: written, maxPartBytes: partBytes(options, written) };
}

function partBytes({ maxPartSize }: ExportOptions, format: LayoutFormat): number | undefined {
  if (maxPartSize === undefined) return undefined;
  const bytes = parseSize(maxPartSize);
  if (bytes === undefined || bytes < LEAST_PART_BYTES)
    throw new UsageError(
      `--max-part-size ${maxPartSize}: accepted is a number of bytes, or one with KiB, MiB, GiB or TiB, from 1MiB on`,
    );
  if (format === 'directory')
    throw new UsageError('--max-part-size: only a tar is split; give --output a name that ends in .tar');
  return bytes;
}

async function work(
  { request, patterns, path, format, maxPartBytes }: Prepared,
  options: ExportOptions,
  { config, operations, contents, io, signal }: StoreCommandContext,
  report: ExportReport,
): Promise<number> {
  const key = options.sign === undefined ? undefined : await signingKey(resolve(io.workingDir, options.sign));
  const there = await inventoryOf(options, io, signal);
  const { upstreams } = config;
  const choice = await chooseImages(request, { upstreams, io, operations, clock: systemClock }, signal);
  for (const { place, message } of choice.problems) report.problem(place, message);
  const selection = { images: choice.images, patterns, tags: request.tags };
  const { images, problems } = await exportImages(selection, operations, signal);
  for (const { name, message } of problems) report.problem(name, message);

  const outputs = options.splitImages === true ? splitOutputs(images, path) : [{ path, images }];
  const toOutput = (file: string): LayoutOutputOptions => ({
    path: file,
    format,
    force: options.force === true,
    parts: maxPartBytes === undefined ? undefined : { maxPartBytes, describe: partsDescription(file, key) },
  });
  if (images.length > 0) {
    if (options.splitImages === true) await makeDirectory(path);
    for (const output of outputs) report.leftovers(await prepareOutput(toOutput(output.path)));
  }
  const facts = {
    platforms: request.platforms,
    dockerPlatform: request.platforms[0] ?? ownPlatform(),
    isThere: (digest: Digest) => there.has(digest),
    createdAt: systemClock.now(),
    createdBy: `entrepot ${io.version}`,
    signingKey: key,
    withReferrers: request.withReferrers,
  };
  const results: ExportResult[] = [];
  for (const output of images.length === 0 ? [] : outputs) {
    report.begin(output.path);
    const result = await runExport(
      { ...facts, images: output.images },
      { operations, contents },
      (leastBytes) => openOutput(toOutput(output.path), leastBytes),
      report,
      signal,
    );
    report.finished(result);
    results.push(result);
  }
  report.done(results);
  return report.problems === 0 && results.some(({ files }) => files.length > 0) ? 0 : 1;
}

/** Each image, under all of its names, in a file of its own. */
function splitOutputs(
  images: readonly ExportImage[],
  directory: string,
): readonly { readonly path: string; readonly images: readonly ExportImage[] }[] {
  const names = new Set<string>();
  return images.map((image) => {
    const plain = image.name.replaceAll(/[/:@]/g, '_');
    // `a/b_c` and `a_b/c` would be one file.
    const name = names.has(plain) ? `${plain}_${image.digest.slice(-12)}` : plain;
    names.add(name);
    return { path: join(directory, `${name}.tar`), images: [image] };
  });
}

/** What `NAME.parts.json` says, and its signature. */
function partsDescription(path: string, key: SigningKey | undefined) {
  return ({ sizeBytes, parts }: WholeOfParts) => {
    const document: BundleParts = {
      entrepotParts: BUNDLE_VERSION,
      name: basename(path),
      sizeBytes,
      parts: parts.map((part) => ({
        name: basename(part.path),
        sizeBytes: part.sizeBytes,
        digest: part.digest,
      })),
    };
    const text = JSON.stringify(document);
    const list = { path: partsListPath(path), text };
    if (key === undefined) return [list];
    return [{ path: `${list.path}.sig`, text: signatureOf(Buffer.from(text), key) }, list];
  };
}

async function signingKey(path: string): Promise<SigningKey> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'unknown';
    const what = code === 'ENOENT' ? 'there is no such file' : `cannot be read (${code})`;
    throw new BundleError('unreadable', `--sign ${path}: ${what}`, { cause });
  }
  return privateKeyFrom(text.slice(0, KEY_BYTES_LIMIT), path);
}

async function inventoryOf(
  { missingOnlyFrom }: ExportOptions,
  io: CommandIo,
  signal: AbortSignal,
): Promise<ReadonlySet<Digest>> {
  if (missingOnlyFrom === undefined) return new Set();
  return readInventory(resolve(io.workingDir, missingOnlyFrom), signal);
}

async function makeDirectory(path: string): Promise<void> {
  try {
    await mkdir(path, { recursive: true });
  } catch (cause) {
    throw outputErrorFrom(cause, path);
  }
}

/** What `docker load` on a machine like this one runs. */
function ownPlatform(): Platform {
  const own = arch();
  return { os: 'linux', architecture: ARCHITECTURES[own] ?? own };
}
