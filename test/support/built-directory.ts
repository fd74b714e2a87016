import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

/**
 * Where go-build.sh puts what it builds from these files, in that order: other versions, or another script, are in
 * another directory.
 */
export function builtDirectory(prefix: string, inputs: readonly string[]): string {
  const hash = createHash('sha256');
  for (const input of inputs) hash.update(readFileSync(input));
  const cache = process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache');
  return join(cache, 'entrepot-tools', prefix + hash.digest('hex').slice(0, 16));
}
