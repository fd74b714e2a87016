import { randomBytes } from 'node:crypto';
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { SetupFile } from '../client-setup/client-setup.ts';

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
 * or not at all; what is there with the same content is left alone.
 * @throws FilesInTheWay before anything is written, unless `force`; file-system errors
 */
export async function writeSetupFiles(
  files: readonly SetupFile[],
  root: string,
  { force }: { readonly force: boolean },
): Promise<readonly WrittenFile[]> {
  const placed = await Promise.all(
    files.map(async (file) => {
      const path = join(root, file.path.replace(/^(?:~\/|\/)/, ''));
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
  await mkdir(dirname(path), { recursive: true });
  const temporary = `${path}.${randomBytes(6).toString('hex')}.tmp`;
  try {
    await writeFile(temporary, content, { flag: 'wx', mode: Number.parseInt(mode, 8) });
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

async function contentOf(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    if (code === 'ENOENT') return undefined;
    throw error;
  }
}
