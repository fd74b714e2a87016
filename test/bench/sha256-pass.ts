import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { open } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';

const PIECE_BYTES = 1024 * 1024;

/** What hashing a file takes, in seconds of one core: only the hashing, not the reading; in 1 MiB pieces. */
export async function sha256Seconds(path: string): Promise<number> {
  const hash = createHash('sha256');
  const buffer = Buffer.allocUnsafe(PIECE_BYTES);
  const file = await open(path);
  let spentMs = 0;
  try {
    for (;;) {
      const { bytesRead } = await file.read(buffer, 0, PIECE_BYTES);
      if (bytesRead === 0) break;
      const before = performance.now();
      hash.update(buffer.subarray(0, bytesRead));
      spentMs += performance.now() - before;
    }
  } finally {
    await file.close();
  }
  return spentMs / 1000;
}

/** What hashing files takes when each core has one of them at a time, in seconds from the first to the last of them. */
export async function sha256SecondsOnAllCores(paths: readonly string[]): Promise<number> {
  const workers = Array.from(
    { length: availableParallelism() },
    () => new Worker(new URL('sha256-worker.js', import.meta.url)),
  );
  try {
    await Promise.all(workers.map(async (worker) => once(worker, 'online')));
    const rest = [...paths];
    const spent = await Promise.all(
      workers.map(async (worker) => {
        let seconds = 0;
        for (let path = rest.shift(); path !== undefined; path = rest.shift()) {
          const answer = once(worker, 'message');
          worker.postMessage(path);
          seconds += Number((await answer)[0]);
        }
        return seconds;
      }),
    );
    return Math.max(...spent);
  } finally {
    await Promise.all(workers.map(async (worker) => worker.terminate()));
  }
}
