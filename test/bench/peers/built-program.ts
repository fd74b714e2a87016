import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { builtDirectory } from '../../support/built-directory.ts';
import { isExecutable } from '../find-program.ts';
import type { Found, Missing } from './peer.ts';

/** From the root of the tree, where the bench runs. */
const SOURCES = join('test', 'bench', 'programs');
/** In the order that build.sh reads them. */
const INPUTS = [join(SOURCES, 'build.sh'), join('test', 'support', 'go-build.sh')];

/** A program that `test/bench/programs/build.sh` builds: only the version that it builds. */
export async function findBuilt(name: string): Promise<Found | Missing> {
  const file = join(builtDirectory('bench-', INPUTS), name);
  if (!(await isExecutable(file))) return { missing: `with any Go: ${SOURCES}/build.sh` };
  return { file, version: (await readFile(`${file}.version`, 'utf8')).trim() };
}
