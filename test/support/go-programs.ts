import { join } from 'node:path';
import { builtDirectory } from './built-directory.ts';

/** What `npm run tools` builds: clients that Debian does not have, and a registry with the referrers API. */
const NAMES: ReadonlySet<string> = new Set([
  'crane',
  'regctl',
  'oras',
  'helm',
  'buildkitd',
  'buildctl',
  'registry-with-referrers',
]);
const SOURCES = join(import.meta.dirname, '..', 'interop', 'programs');
/** In the order that build.sh reads them. */
const INPUTS = [
  join(SOURCES, 'go.mod'),
  join(SOURCES, 'registry-with-referrers', 'main.go'),
  join(SOURCES, 'build.sh'),
  join(import.meta.dirname, 'go-build.sh'),
];

let directory: string | undefined;

/** Where such a program is once it is built; `undefined` for all others, which are the machine's own. */
export function goProgramPath(name: string): string | undefined {
  return NAMES.has(name) ? join((directory ??= builtDirectory('', INPUTS)), name) : undefined;
}
