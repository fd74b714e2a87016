import { closeSync, constants, fstatSync, openSync, readSync, type Stats } from 'node:fs';

/** Opening a pipe must not wait for somebody at its other end. */
export const OPEN_FLAGS = constants.O_RDONLY | constants.O_NONBLOCK;

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  EACCES: 'permission denied',
  EISDIR: 'it is a directory',
  ENXIO: 'it is not a regular file',
};

/** A whole small file, or why it cannot be had. Only regular files are read: others may have no end, or never begin. */
export function readText(
  file: string,
  limitBytes: number,
): { readonly content: string } | { readonly reason: string } {
  try {
    const descriptor = openSync(file, OPEN_FLAGS);
    try {
      const fault = kindFault(fstatSync(descriptor));
      if (fault !== undefined) return { reason: fault };
      const bytes = Buffer.alloc(limitBytes + 1);
      let length = 0;
      for (;;) {
        const count = readSync(descriptor, bytes, length, bytes.length - length, null);
        length += count;
        if (length > limitBytes) return { reason: `it is larger than ${limitBytes} bytes` };
        if (count === 0) return { content: bytes.toString('utf8', 0, length) };
      }
    } finally {
      closeSync(descriptor);
    }
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown';
    return { reason: REASONS[code] ?? code };
  }
}

/** Why what was opened is not read; `undefined` for a regular file. */
export function kindFault(facts: Stats): string | undefined {
  if (facts.isFile()) return undefined;
  return facts.isDirectory() ? 'it is a directory' : 'it is not a regular file';
}
