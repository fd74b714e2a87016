const BLOCK_SIZE = 512;

export interface TarEntry {
  /** Relative, at most 100 bytes; one that ends with `/` is a directory. */
  readonly path: string;
  readonly bytes?: Uint8Array;
  /** Default 0644, of directories 0755. */
  readonly mode?: number;
}

/** An uncompressed POSIX (ustar) archive. Equal entries give equal bytes: times and owners are zero. */
export function tarArchive(entries: readonly TarEntry[]): Buffer {
  const blocks = entries.flatMap((entry) => {
    const bytes = entry.bytes ?? Buffer.alloc(0);
    const padding = (BLOCK_SIZE - (bytes.length % BLOCK_SIZE)) % BLOCK_SIZE;
    return [header(entry, bytes.length), bytes, Buffer.alloc(padding)];
  });
  return Buffer.concat([...blocks, Buffer.alloc(2 * BLOCK_SIZE)]);
}

function header({ path, mode }: TarEntry, size: number): Buffer {
  if (Buffer.byteLength(path) > 100) throw new Error(`path too long for a tar header: ${path}`);
  const directory = path.endsWith('/');
  const block = Buffer.alloc(BLOCK_SIZE);
  block.write(path, 0);
  block.write(octal(mode ?? (directory ? 0o755 : 0o644), 7), 100);
  block.write(octal(0, 7), 108);
  block.write(octal(0, 7), 116);
  block.write(octal(size, 11), 124);
  block.write(octal(0, 11), 136);
  block.write(' '.repeat(8), 148);
  block.write(directory ? '5' : '0', 156);
  block.write('ustar', 257);
  block.write('00', 263);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${octal(sum, 6)}\0 `, 148, 'latin1');
  return block;
}

function octal(value: number, width: number): string {
  return value.toString(8).padStart(width, '0');
}
