import { Agent, get } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';

/** The process behind LatencyProbe: says `ready`, waits for `begin`, asks until `end`, sends what each request took. */

const INTERVAL_MS = 5;
const WARM_UP_REQUESTS = 50;
const ACCEPT = 'application/vnd.oci.image.manifest.v1+json';

process.once('disconnect', () => process.exit(1));
const url = process.argv[2] ?? '';
const agent = new Agent({ keepAlive: true });

async function ask(): Promise<number> {
  const startedMs = performance.now();
  return new Promise((resolve, reject) => {
    const request = get(url, { agent, headers: { accept: ACCEPT } }, (response) => {
      if (response.statusCode !== 200) reject(new Error(`status ${response.statusCode}`));
      response.resume();
      response.once('end', () => resolve(performance.now() - startedMs));
    });
    request.once('error', reject);
  });
}

async function message(wanted: string): Promise<void> {
  await new Promise<void>((resolve) => {
    const listener = (got: unknown): void => {
      if (got !== wanted) return;
      process.off('message', listener);
      resolve();
    };
    process.on('message', listener);
  });
}

for (let count = 0; count < WARM_UP_REQUESTS; count += 1) await ask();
const begun = message('begin');
const ended = new AbortController();
const end = message('end').finally(() => ended.abort());
process.send?.('ready');
await begun;
const asked: Promise<number>[] = [];
while (!ended.signal.aborted) {
  asked.push(ask());
  await delay(INTERVAL_MS);
}
await end;
process.send?.(await Promise.all(asked));
