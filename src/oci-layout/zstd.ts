import type { Transform } from 'node:stream';
import * as zlib from 'node:zlib';
import { OutputError } from './output-error.ts';

/** Node's own since 22.15, which the types of Node 20 do not know. */
interface WithZstd {
  readonly createZstdCompress?: () => Transform;
}

/** A new compressor. @throws OutputError `unsupported` where Node has none */
export function zstdPacker(path: string): Transform {
  const { createZstdCompress } = zlib as WithZstd;
  if (createZstdCompress !== undefined) return createZstdCompress();
  throw new OutputError(
    'unsupported',
    `${path}: zstd needs Node 22.15 or later: write a .tar, and compress it with zstd -T0 if it has to be (layers are compressed already)`,
  );
}
