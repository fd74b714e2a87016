import { readFileSync } from 'node:fs';

/** The version of the program's files as they are now: somebody may replace them while it runs. */
export function packageVersion(): string {
  const description: unknown = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
  const version = (description as { readonly version?: unknown }).version;
  return typeof version === 'string' ? version : 'unknown';
}
