import type { Readable } from 'node:stream';
import { UpstreamError } from './upstream-error.ts';

/** An error page beyond this is not worth keeping its connection for. */
const DISCARD_LIMIT_BYTES = 64 * 1024;

/**
 * The whole body, when it is no longer than `limitBytes`; else the body is destroyed.
 * @throws UpstreamError `protocol` when it is longer; what the body fails with.
 */
export async function readBounded(body: Readable, limitBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  // Leaving the loop early destroys the body.
  for await (const chunk of body as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > limitBytes)
      throw new UpstreamError('protocol', `an answer is larger than ${limitBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** Lets a body that nobody wants run out, so that its connection can be used again; a long one is destroyed. */
export function discard(body: Readable): void {
  let size = 0;
  body.on('data', (chunk: Buffer) => {
    size += chunk.length;
    if (size > DISCARD_LIMIT_BYTES) body.destroy();
  });
}
