import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

/** One stream as fast as it comes: the cheapest client at hand, and one that is not ours. */

const LIMIT_SECONDS = 120;

/** How long it took from before the connection to the last byte, in seconds. @throws when it is not a whole 200. */
export async function curlSeconds(curl: string, url: string): Promise<number> {
  const { stdout } = await promisify(execFile)(curl, [
    '--silent',
    '--show-error',
    '--fail',
    // Of our own servers, with the certificate of a test.
    '--insecure',
    '--max-time',
    String(LIMIT_SECONDS),
    '--output',
    '/dev/null',
    '--write-out',
    '%{time_total}',
    url,
  ]);
  return Number(stdout);
}
