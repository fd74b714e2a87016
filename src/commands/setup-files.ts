import { randomBytes } from 'node:crypto';
import { lstat, mkdir, realpath, rename, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import type { SetupFile } from '../client-setup/client-setup.ts';
import { readText } from '../config-file-text.ts';

/** Nothing that is compared is nearly as long. */
const CONTENT_LIMIT_BYTES = 4 * 1024 * 1024;

/** Stands for the content of what is not read. */
const UNREADABLE = Symbol('unreadable');

/** What became of one file. */
export interface WrittenFile {
  /** Below the root. */
  readonly path: string;
  readonly outcome: 'written' | 'replaced' | 'unchanged';
}

/** Files that are there with other content. Nothing was written. */
export class FilesInTheWay extends Error {
  readonly paths: readonly string[];

  constructor(paths: readonly string[]) {
    super(`there already, with other content: ${paths.join(', ')}`);
    this.paths = paths;
  }
}

/**
 * Writes files below `root`, which stands for `/`, for the home and for the working directory alike. Each appears whole
 * or not at all; what is there with the same content is left alone. A link to a directory is gone by as long as it stays
 * below `root`; one in the place of a file is in the way, and replaced by force.
 * @throws FilesInTheWay before anything is written, unless `force`; an Error for a link that leads out of `root`;
 *   file-system errors
 */
export async function writeSetupFiles(
  files: readonly SetupFile[],
  root: string,
  { force }: { readonly force: boolean },
): Promise<readonly WrittenFile[]> {
  const placed = await Promise.all(
    files.map(async (file) => {
      const path = join(root, file.path.replace(/^(?:~\/|\/)/, ''));
      await expectBelow(root, dirname(path));
      return { file, path, present: await contentOf(path) };
    }),
  );
  const inTheWay = placed.filter(({ file, present }) => present !== undefined && present !== file.content);
  if (inTheWay.length > 0 && !force) throw new FilesInTheWay(inTheWay.map(({ path }) => path));
  const written: WrittenFile[] = [];
  for (const { file, path, present } of placed) {
    if (present !== file.content) await writeWhole(path, file);
    const outcome = present === undefined ? 'written' : present === file.content ? 'unchanged' : 'replaced';
    written.push({ path, outcome });
  }
  return written;
}

async function writeWhole(path: string, { content, mode }: SetupFile): Promise<void> {
  await makeDirectory(dirname(path));
  const temporary = `${path}.${randomBytes(6).toString('hex')}.tmp`;
  try {
    await writeFile(temporary, content, { flag: 'wx', mode: Number.parseInt(mode, 8) });
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

/** Node's own recursive `mkdir` never ends where the parent is there and takes no directories, as below /proc. */
async function makeDirectory(path: string): Promise<void> {
  try {
    await mkdir(path);
  } catch (error) {
    const code = codeOf(error);
    if (code === 'EEXIST' && (await stat(path)).isDirectory()) return;
    if (code !== 'ENOENT' || dirname(path) === path) throw error;
    await makeDirectory(dirname(path));
    await mkdir(path);
  }
}

/** Goes down from `root` as far as there is something. @throws when a link leads out of it */
async function expectBelow(root: string, directory: string): Promise<void> {
  const top = await existing(root);
  if (top === undefined) return;
  let path = root;
  for (const segment of relative(root, directory).split('/')) {
    path = join(path, segment);
    const real = await existing(path);
    if (real === undefined) return;
    if (real !== top && relative(top, real).split('/')[0] === '..')
      throw new Error(`${path} leads out of ${root}`);
  }
}

/** Its path without links; `undefined`: there is no such thing. */
async function existing(path: string): Promise<string | undefined> {
  try {
    return await realpath(path);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

/** `undefined`: there is no such file; `unreadable`: what is there is not one whose content could be the same. */
async function contentOf(path: string): Promise<string | typeof UNREADABLE | undefined> {
  try {
    if (!(await lstat(path)).isFile()) return UNREADABLE;
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
  const read = readText(path, CONTENT_LIMIT_BYTES);
  return 'reason' in read ? UNREADABLE : read.content;
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined;
}
