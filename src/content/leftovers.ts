import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { contentErrorFrom, errorCode } from './content-error.ts';
import type { FileSystem } from './file-system.ts';
import type { ContentPaths } from './paths.ts';

/** Moves what an earlier process had on its way in out of the way: quick, however much it is. @returns where it is now, with what was left from before */
export async function setLeftoversAside(
  fileSystem: FileSystem,
  paths: ContentPaths,
): Promise<readonly string[]> {
  try {
    await fileSystem.rename(paths.ingest, paths.leftover(randomUUID()));
  } catch (cause) {
    // A name takes room too. What is removed makes some, and then the start waits for it.
    if (contentErrorFrom(cause, 'renaming').reason === 'no-space') await fileSystem.removeTree(paths.ingest);
    else if (errorCode(cause) !== 'ENOENT') throw cause;
  }
  const leftovers: string[] = [];
  for await (const { name } of fileSystem.readDirectory(paths.root))
    if (paths.isLeftover(name)) leftovers.push(join(paths.root, name));
  return leftovers;
}

/** Removes them one file after the other. What fails, or is cut short by the signal, is for the next start. */
export async function removeLeftovers(
  fileSystem: FileSystem,
  leftovers: readonly string[],
  signal: AbortSignal,
): Promise<void> {
  for (const leftover of leftovers) {
    try {
      // A link that stood there is removed, never what it leads to.
      const { kind } = await fileSystem.stat(leftover);
      if (kind === 'directory') {
        for await (const { name } of fileSystem.readDirectory(leftover)) {
          if (signal.aborted) return;
          await fileSystem.removeTree(join(leftover, name));
        }
      }
      await fileSystem.removeTree(leftover);
    } catch {
      // Nothing reads them, and the next start comes by.
    }
  }
}
