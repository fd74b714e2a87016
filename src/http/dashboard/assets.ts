import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const DIRECTORY = join(import.meta.dirname, 'assets');
const FILES = {
  'style.css': 'text/css; charset=utf-8',
  'page.js': 'text/javascript; charset=utf-8',
  'live.js': 'text/javascript; charset=utf-8',
  'quantities.js': 'text/javascript; charset=utf-8',
  'mark.svg': 'image/svg+xml',
} as const;
const HASH_DIGITS = 12;

export type AssetName = keyof typeof FILES;

export interface Asset {
  readonly type: string;
  readonly body: string;
}

/** The files of the page, in memory. A hash of them all is in their addresses, so that browsers may keep them for ever. */
export class Assets {
  readonly #byPath = new Map<string, Asset>();
  readonly #directory: string;

  /** Reads them all. */
  constructor() {
    const names = Object.keys(FILES) as AssetName[];
    const read = names.map((name) => ({
      name,
      type: FILES[name],
      body: readFileSync(join(DIRECTORY, name), 'utf8'),
    }));
    const hash = createHash('sha256');
    for (const { body } of read) hash.update(body);
    // One for all of them: the scripts name each other.
    this.#directory = `/assets/${hash.digest('hex').slice(0, HASH_DIGITS)}`;
    for (const { name, ...asset } of read) this.#byPath.set(this.pathOf(name), asset);
  }

  /** Where a browser finds it. */
  pathOf(name: AssetName): string {
    return `${this.#directory}/${name}`;
  }

  find(path: string): Asset | undefined {
    return this.#byPath.get(path);
  }
}
