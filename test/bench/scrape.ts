import { setTimeout as delay } from 'node:timers/promises';
import { percentile } from './figure.ts';

/** What its metrics say. Every look at them begins the event loop's figures anew. */
export async function scrape(
  adminUrl: string,
): Promise<{ readonly storeBlobs: number; readonly lagP99Ms: number; readonly evictedBytes: number }> {
  const response = await fetch(`${adminUrl}/metrics`, { signal: AbortSignal.timeout(5000) });
  const text = await response.text();
  const value = (name: string) => Number(new RegExp(`^${name}(?:\\{.*\\})? (\\S+)$`, 'm').exec(text)?.[1]);
  const sum = (name: string) =>
    [...text.matchAll(new RegExp(`^${name}(?:\\{.*\\})? (\\S+)$`, 'gm'))].reduce(
      (total, [, number]) => total + Number(number),
      0,
    );
  return {
    evictedBytes: sum('entrepot_evicted_bytes_total'),
    storeBlobs: value('entrepot_store_blobs'),
    lagP99Ms: value('nodejs_eventloop_lag_p99_seconds') * 1000,
  };
}

/** How long a scrape takes to its last byte: p99 of a hundred, over time enough for two samples of the store. */
export async function scrapeMs(adminUrl: string): Promise<number> {
  const times: number[] = [];
  for (let round = 0; round < 100; round += 1) {
    const began = performance.now();
    await scrape(adminUrl);
    times.push(performance.now() - began);
    await delay(200);
  }
  return percentile(times, 0.99);
}

/** p99 of the event loop's delay since it was asked last, 10 ms of sampling included. */
export async function lagP99Ms(adminUrl: string): Promise<number> {
  return (await scrape(adminUrl)).lagP99Ms;
}
