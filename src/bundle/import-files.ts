import { createHash, type KeyObject } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { openByteFile, stretchOf } from '../oci-layout/byte-file.ts';
import { digestAlgorithm, digestFromHash } from '../oci/digest.ts';
import { BundleError } from './bundle-error.ts';
import { type BundleParts, bundleParts } from './bundle-manifest.ts';
import { assertSigned } from './bundle-reading.ts';

/** One archive, as it lies on the disk. */
export interface ImportFile {
  /** As the user knows it. */
  readonly name: string;
  /** In order; one for what was not split. */
  readonly pieces: readonly string[];
  /** Of what was split. */
  readonly parts?: SplitBundle | undefined;
}

interface SplitBundle {
  readonly manifest: BundleParts;
  /** The file with it, and its bytes. */
  readonly path: string;
  readonly bytes: Buffer;
}

const PART = /^(?<base>.+)\.(?:\d{3,4}|parts\.json(?:\.sig)?)$/;
const PARTS_MANIFEST_BYTES_LIMIT = 4 * 1024 * 1024;
const SIGNATURE_BYTES_LIMIT = 1024;

/**
 * What the user named, relative to `workingDir`, each archive once: parts of one are put together, wherever they lie among the directories that
 * were named; one of them is enough.
 * @throws BundleError
 */
export async function importFiles(
  texts: readonly string[],
  workingDir: string,
): Promise<readonly ImportFile[]> {
  if (texts.includes('-'))
    throw new BundleError(
      'invalid',
      'standard input cannot be imported: an archive is looked at before it is read, so write it to a file first',
    );
  const paths = texts.map((text) => resolve(workingDir, text));
  const shownAs = new Map(paths.map((path, at) => [path, texts[at] ?? path]));
  const files: ImportFile[] = [];
  const directories = [...new Set(paths.map((path) => dirname(path)))];
  const seen = new Set<string>();
  for (const path of paths) {
    const base = await baseOfParts(path);
    if (base === undefined) files.push({ name: shownAs.get(path) ?? path, pieces: [path] });
    else if (!seen.has(basename(base))) {
      seen.add(basename(base));
      files.push(await splitBundle(base, [dirname(base), ...directories]));
    }
  }
  return files;
}

/**
 * Reads all parts and compares them with what was said of them.
 * @throws BundleError that names each part that is missing or altered
 */
export async function verifyParts(
  { name, pieces, parts }: ImportFile,
  publicKeys: readonly KeyObject[],
  onBytes: (bytes: number) => void,
  signal: AbortSignal,
): Promise<void> {
  if (parts === undefined) return;
  const signature = await bytesOf(`${parts.path}.sig`, SIGNATURE_BYTES_LIMIT);
  // What is in it has its own: this one says sooner that something is wrong.
  if (publicKeys.length > 0 && signature !== undefined)
    assertSigned({ place: parts.path, bytes: parts.bytes, signature }, publicKeys);
  const faults: string[] = [];
  for (const [at, part] of parts.manifest.parts.entries()) {
    const path = pieces[at] ?? part.name;
    const file = await openByteFile(path, [path]);
    try {
      if (file.sizeBytes !== part.sizeBytes) {
        faults.push(
          `${path}: has ${file.sizeBytes} bytes, and not ${part.sizeBytes}: it was cut off or altered`,
        );
        continue;
      }
      const algorithm = digestAlgorithm(part.digest);
      const hash = createHash(algorithm);
      for await (const chunk of stretchOf(file, 0, file.sizeBytes, signal)) {
        hash.update(chunk);
        onBytes(chunk.length);
      }
      if (digestFromHash(algorithm, hash) !== part.digest) faults.push(`${path}: was altered`);
    } finally {
      await file.close();
    }
  }
  if (faults.length > 0) throw new BundleError('invalid', `${name}: ${faults.join('; ')}`);
}

async function baseOfParts(path: string): Promise<string | undefined> {
  const base = PART.exec(path)?.groups?.['base'];
  if (base !== undefined && (path.includes('.parts.json') || (await isFile(`${base}.parts.json`))))
    return base;
  // Not every file whose name ends with digits is a part.
  if (base !== undefined && ((await isFile(`${base}.002`)) || (await isFile(`${base}.001`)))) return base;
  return !(await exists(path)) && (await isFile(`${path}.parts.json`)) ? path : undefined;
}

async function splitBundle(base: string, directories: readonly string[]): Promise<ImportFile> {
  const path = await findIn(directories, `${basename(base)}.parts.json`);
  const bytes = path === undefined ? undefined : await bytesOf(path, PARTS_MANIFEST_BYTES_LIMIT);
  if (path === undefined || bytes === undefined)
    throw new BundleError(
      'unreadable',
      `${base}.parts.json is missing: it says what the parts are, and has to lie beside one of them`,
    );
  let document: unknown;
  try {
    document = JSON.parse(bytes.toString('utf8'));
  } catch (cause) {
    throw new BundleError('invalid', `${path}: is no JSON`, { cause });
  }
  const manifest = bundleParts.safeParse(document);
  if (!manifest.success) throw new BundleError('invalid', `${path}: does not say what the parts are`);
  const pieces: string[] = [];
  const missing: string[] = [];
  for (const { name } of manifest.data.parts) {
    if (basename(name) !== name || name.startsWith('.'))
      throw new BundleError('invalid', `${path}: names a part elsewhere`);
    const piece = await findIn([dirname(path), ...directories], name);
    if (piece === undefined) missing.push(name);
    else pieces.push(piece);
  }
  if (missing.length > 0)
    throw new BundleError('unreadable', `${base}: these parts are missing: ${missing.join(', ')}`);
  return { name: base, pieces, parts: { manifest: manifest.data, path, bytes } };
}

async function findIn(directories: readonly string[], name: string): Promise<string | undefined> {
  for (const directory of directories) {
    const path = join(directory, name);
    if (await isFile(path)) return path;
  }
  return undefined;
}

/** `undefined` where there is none. */
async function bytesOf(path: string, limitBytes: number): Promise<Buffer | undefined> {
  if (!(await isFile(path))) return undefined;
  const { size } = await stat(path);
  if (size > limitBytes) throw new BundleError('invalid', `${path}: has more than ${limitBytes} bytes`);
  return readFile(path);
}

async function isFile(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isFile(),
    () => false,
  );
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
