import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

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
const INPUTS = ['go.mod', 'registry-with-referrers/main.go', 'build.sh'];

let directory: string | undefined;

/** Where such a program is once it is built; `undefined` for all others, which are the machine's own. */
export function goProgramPath(name: string): string | undefined {
  return NAMES.has(name) ? join((directory ??= outputDirectory()), name) : undefined;
}

/** As build.sh computes it: other versions are in another directory. */
function outputDirectory(): string {
  const hash = createHash('sha256');
  for (const input of INPUTS) hash.update(readFileSync(join(SOURCES, input)));
  const cache = process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache');
  return join(cache, 'entrepot-tools', hash.digest('hex').slice(0, 16));
}
