import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import type { UpstreamContent } from './nginx-upstream.ts';

/** One stream as fast as it comes: the cheapest client at hand, and one that is not ours. */

const LIMIT_SECONDS = 120;
const ERROR_TEXT_LIMIT = 2000;

/**
 * How long it took from before the connection to the last byte, in seconds.
 * @param hashed whether the body is compared with its digest, not just its length: then it comes through a pipe
 * @throws when it is not a whole 200 of what was asked for
 */
export async function curlSeconds(
  curl: string,
  url: string,
  { digest, sizeBytes }: Pick<UpstreamContent, 'digest' | 'sizeBytes'>,
  { hashed }: { readonly hashed: boolean },
): Promise<number> {
  const child = spawn(
    curl,
    [
      '--silent',
      '--show-error',
      '--fail',
      // Of our own servers, with the certificate of a test.
      '--insecure',
      '--max-time',
      String(LIMIT_SECONDS),
      '--output',
      hashed ? '-' : '/dev/null',
      '--write-out',
      '%{stderr}%{time_total} %{size_download}',
      url,
    ],
    { stdio: ['ignore', hashed ? 'pipe' : 'ignore', 'pipe'] },
  );
  const hash = createHash('sha256');
  child.stdout?.on('data', (chunk: Buffer) => hash.update(chunk));
  let said = '';
  child.stderr?.on('data', (chunk: Buffer) => {
    said = (said + chunk.toString()).slice(-ERROR_TEXT_LIMIT);
  });
  const [code] = (await once(child, 'close')) as [number | null];
  if (code !== 0) throw new Error(`${url}: curl ended with ${code}: ${said}`);
  const [seconds = Number.NaN, bytes = Number.NaN] = said.trim().split(' ').map(Number);
  if (bytes !== sizeBytes) throw new Error(`${url}: ${bytes} bytes, not ${sizeBytes}`);
  const found = `sha256:${hash.digest('hex')}`;
  if (hashed && found !== digest) throw new Error(`${url}: its bytes are ${found}`);
  return seconds;
}
