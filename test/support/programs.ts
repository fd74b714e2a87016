import { accessSync, constants } from 'node:fs';
import { join } from 'node:path';
import { describe } from 'vitest';
import { canMount, type MountKind } from './mounts.ts';
import { goProgramPath } from './go-programs.ts';

/** Where system daemons are, which a user's PATH often leaves out. */
const SYSTEM_DIRECTORIES = ['/usr/local/sbin', '/usr/sbin', '/sbin'];

export interface Needs {
  readonly programs: readonly string[];
  /** Whether they need root (default false). */
  readonly root?: boolean;
  /** What they mount, which takes more than being root: the machine must allow it (default: nothing). */
  readonly mounts?: readonly MountKind[];
}

/** The path of an installed or built program; `undefined` when there is none. */
export function findProgram(name: string): string | undefined {
  const built = goProgramPath(name);
  // Of those that we build, only the version that we build.
  if (built !== undefined) return isExecutable(built) ? built : undefined;
  const directories = [...(process.env['PATH'] ?? '').split(':'), ...SYSTEM_DIRECTORIES];
  return directories.map((directory) => join(directory, name)).find(isExecutable);
}

/** @throws when it is not installed: tests ask with `describeWith` first. */
export function programPath(name: string): string {
  const path = findProgram(name);
  if (path === undefined) throw new Error(absence(name));
  return path;
}

/** A `describe` that is skipped, with the reason in its name, where a real program that it needs is missing. */
export function describeWith(needs: Needs, name: string, tests: () => void): void {
  const missing = needs.programs.filter((program) => findProgram(program) === undefined);
  const reasons = [
    ...missing.map(absence),
    ...(needs.root === true && process.getuid?.() !== 0 ? ['it needs root'] : []),
    ...(needs.mounts ?? [])
      .filter((kind) => !canMount(kind))
      .map((kind) => `this machine lets nobody mount ${kind}`),
  ];
  if (reasons.length === 0) describe(name, tests);
  else describe.skip(`${name} (skipped: ${reasons.join(', ')})`, tests);
}

/** `.ci/run` knows the words of what only Go can bring, and of what no package brings. */
function absence(name: string): string {
  return goProgramPath(name) === undefined
    ? `${name} is not installed`
    : `${name} is not built: npm run tools`;
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
