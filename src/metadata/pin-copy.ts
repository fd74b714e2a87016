import { closeSync, fsyncSync, openSync, readFileSync, renameSync, statSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { storedImagePattern } from '../oci/image-pattern.ts';

/** More than anybody pins one by one. */
const SIZE_LIMIT_BYTES = 4 * 1024 * 1024;

/**
 * What operators pinned by command, once more beside the index: all else in it can be found out again when it is lost,
 * this cannot. A JSON list of patterns.
 */
export class PinCopy {
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  /** `undefined` when there is none that can be read. What is no pattern in it is passed over. */
  read(): readonly string[] | undefined {
    try {
      if (statSync(this.#path).size > SIZE_LIMIT_BYTES) return undefined;
      const listed: unknown = JSON.parse(readFileSync(this.#path, 'utf8'));
      if (!Array.isArray(listed)) return undefined;
      return listed.filter((text) => typeof text === 'string' && storedImagePattern(text) !== undefined);
    } catch {
      return undefined;
    }
  }

  /** Durable when it returns; the old one stays until then. @throws what the file system throws */
  write(patterns: readonly string[]): void {
    const temporary = `${this.#path}.new`;
    const file = openSync(temporary, 'w', 0o600);
    try {
      writeSync(file, `${JSON.stringify(patterns)}\n`);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(temporary, this.#path);
    syncDirectory(dirname(this.#path));
  }
}

/** The name, too: else a power cut brings the old one back. */
function syncDirectory(path: string): void {
  const directory = openSync(path, 'r');
  try {
    fsyncSync(directory);
  } finally {
    closeSync(directory);
  }
}
