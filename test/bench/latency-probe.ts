import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const PROBE_LIMIT_MS = 15 * 60_000;

/**
 * A second client, in a process of its own: every 5 ms a request for a small warm answer, whether the one before has
 * been answered or not.
 */
export class LatencyProbe {
  readonly #url: string;

  constructor(url: string) {
    this.#url = url;
  }

  /** How long each request took that was sent while `work` went on, in milliseconds. */
  async during(work: () => Promise<void>): Promise<readonly number[]> {
    const script = fileURLToPath(new URL('latency-probe-child.js', import.meta.url));
    const child = fork(script, [this.#url], { timeout: PROBE_LIMIT_MS });
    try {
      await next(child);
      child.send('begin');
      await work();
      child.send('end');
      const latencies = await next(child);
      if (!Array.isArray(latencies) || latencies.length === 0) throw new Error('the probe has no figures');
      return latencies.map(Number);
    } finally {
      child.kill();
    }
  }
}

async function next(child: ReturnType<typeof fork>): Promise<unknown> {
  return new Promise((resolve, reject) => {
    child.once('message', resolve);
    child.once('exit', (code) => reject(new Error(`the probe ended with ${code}`)));
  });
}
