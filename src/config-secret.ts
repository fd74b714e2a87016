import { resolve } from 'node:path';
import type { Environment } from './config-file.ts';
import { readText } from './config-file-text.ts';
import type { Problems } from './config-problem.ts';

const SECRET_BYTES_LIMIT = 64 * 1024;

/** What reading a configuration needs besides its text. */
export interface Surroundings {
  /** What relative paths in the file are relative to. */
  readonly baseDir: string;
  readonly problems: Problems;
  readonly environment: Environment;
}

/** A value that stands in the file as `key`, or in a file of its own that `keyFile` names; line ends are taken off. */
export function secretFrom<Key extends string>(
  written: { readonly [name in Key | `${Key}File`]?: string | undefined },
  key: Key,
  path: readonly string[],
  { baseDir, problems }: Surroundings,
): string | undefined {
  const fileKey: `${Key}File` = `${key}File`;
  const plain: string | undefined = written[key];
  const file: string | undefined = written[fileKey];
  if (file === undefined) return plain;
  if (plain !== undefined) {
    problems.add([...path, fileKey], `only one of ${key} and ${fileKey} is accepted`, file);
    return plain;
  }
  const text = readText(resolve(baseDir, file), SECRET_BYTES_LIMIT);
  const secret = 'content' in text ? text.content.replace(/[\r\n]+$/, '') : '';
  const fault = 'reason' in text ? `cannot be read: ${text.reason}` : 'names an empty file';
  if (secret === '') problems.add([...path, fileKey], fault, file);
  return secret === '' ? undefined : secret;
}
