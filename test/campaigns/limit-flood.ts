import { lstatSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { expect } from 'vitest';
import { closeAfterTest } from '../support/close-after-test.ts';
import { FakeRegistry } from '../support/fake-registry.ts';
import { get } from '../support/http-get.ts';
import { startApp } from '../support/running-app.ts';

const KIB = 1024;

export interface FloodOptions {
  /** Pulls at the same time. */
  readonly clients: number;
  readonly blobs: number;
  readonly limitBytes: number;
  /** Rounds over all blobs, each in another order. */
  readonly rounds: number;
}

export interface FloodResult {
  /** The most that files of content took of the disk at any moment. */
  readonly mostBytes: number;
  /** The most that all else below the data directory took: directories and the index. */
  readonly mostOtherBytes: number;
  readonly polls: number;
  readonly outcomes: Readonly<Record<string, number>>;
}

/**
 * What lies below the data directory takes of the disk, as `du` counts. Without a turn of the event loop in between:
 * what the cache counts does not change meanwhile, so nothing that goes is counted beside what comes in its place.
 */
function used(path: string): { content: number; other: number } {
  const sum = { content: 0, other: 0 };
  const count = (at: string, isContent: boolean) => {
    const facts = lstatSync(at, { throwIfNoEntry: false });
    if (facts === undefined) return;
    sum[isContent && facts.isFile() ? 'content' : 'other'] += facts.blocks * 512;
    if (!facts.isDirectory()) return;
    for (const name of readdirSync(at)) count(join(at, name), isContent || name === 'content');
  };
  count(path, false);
  return sum;
}

/** Pulls many more blobs at once than the cache can hold, and looks at the disk all the time. Every pull must be right. */
export async function flood({ clients, blobs, limitBytes, rounds }: FloodOptions): Promise<FloodResult> {
  const registry = closeAfterTest(await FakeRegistry.start());
  const upstreams = [{ name: 'reg.example', url: registry.url }];
  const app = await startApp({ upstreams, cache: { maxSize: { bytes: limitBytes } } });
  const digests = Array.from({ length: blobs }, (_, n) =>
    registry.addBlob('team/app', { size: 10 * KIB + ((n * 37_777) % (1500 * KIB)), seed: n + 1 }),
  );
  const outcomes: Record<string, number> = {};
  const pull = async (digest: string) => {
    const {
      status,
      complete,
      headers,
      digest: got,
    } = await get(`${app.url}/v2/team/app/blobs/${digest}`, {
      digestOnly: true,
    });
    expect({ status, complete, got }).toEqual({ status: 200, complete: true, got: digest });
    const outcome = String(headers['x-cache']);
    outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
  };
  const queue = Array.from({ length: rounds }, (_, round) =>
    digests.map((_digest, n) => digests[(n * (2 * round + 1)) % digests.length] ?? ''),
  ).flat();
  const work = Promise.all(
    Array.from({ length: clients }, async () => {
      for (let digest = queue.pop(); digest !== undefined; digest = queue.pop()) await pull(digest);
    }),
  );
  const over = new AbortController();
  void work.finally(() => over.abort()).catch(() => undefined);
  let [mostBytes, mostOtherBytes, polls] = [0, 0, 0];
  while (!over.signal.aborted) {
    const { content, other } = used(app.dataDir);
    mostBytes = Math.max(mostBytes, content);
    mostOtherBytes = Math.max(mostOtherBytes, other);
    polls += 1;
    await delay(5);
  }
  await work;
  return { mostBytes, mostOtherBytes, polls, outcomes };
}

/** Beside content: directories (256 of each algorithm, and what is above them), and the index with its journal. */
export const OTHER_MARGIN_BYTES = 16 * KIB * KIB;
