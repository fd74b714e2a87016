import { access, constants } from 'node:fs/promises';
import type { SourceProblem } from './named-image.ts';
import { problemOf } from './source-files.ts';

/** Those of `paths` (absolute) that cannot be read now. What is in them is not looked at. */
export async function missingSources(paths: readonly string[]): Promise<readonly SourceProblem[]> {
  const found = await Promise.all(
    paths.map(async (path) => {
      try {
        await access(path, constants.R_OK);
        return [];
      } catch (error) {
        return [problemOf(path, error).problem];
      }
    }),
  );
  return found.flat();
}
