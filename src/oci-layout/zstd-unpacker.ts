import { spawn } from 'node:child_process';
import { Duplex } from 'node:stream';
import * as zlib from 'node:zlib';
import { LayoutError } from './layout-error.ts';

/** Node's own since 22.15, which the types of Node 20 do not know. */
interface WithZstd {
  readonly createZstdDecompress?: () => Duplex;
}

/** A new decompressor of zstd: Node's own, else the program of that name. @param name of the file, for errors */
export function zstdUnpacker(name: string): Duplex {
  const { createZstdDecompress } = zlib as WithZstd;
  return createZstdDecompress === undefined ? zstdProgram(name) : createZstdDecompress();
}

/** Without a shell. Its memory is bounded: it takes no window above 128 MiB unless it is told to. */
function zstdProgram(name: string): Duplex {
  const child = spawn('zstd', ['--decompress', '--stdout', '--quiet'], {
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  const both = Duplex.from({ writable: child.stdin, readable: child.stdout });
  child.on('error', (cause) => {
    const message = `${name}: zstd needs Node 22.15 or later, or the program zstd: decompress it first, elsewhere`;
    both.destroy(new LayoutError('unknown', message, { cause }));
  });
  child.on('close', (code) => {
    if (code !== 0 && code !== null)
      both.destroy(new LayoutError('damaged', `${name}: it is cut off or damaged (zstd says so)`));
  });
  both.on('close', () => child.kill());
  return both;
}
