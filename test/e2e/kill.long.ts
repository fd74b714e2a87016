import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { closeAfterTest } from '../support/close-after-test.ts';
import { EntrepotProcess } from '../support/entrepot-process.ts';
import { FakeRegistry } from '../support/fake-registry.ts';
import { get } from '../support/http-get.ts';
import { tempDir } from '../support/temp-dir.ts';

/** `npm run test:long`; CAMPAIGN_SECONDS says how long it goes on (600). CAMPAIGN_SEED repeats a run's choices. */

const DURATION_MS = Number(process.env['CAMPAIGN_SECONDS'] ?? '600') * 1000;
const SEED = Number(process.env['CAMPAIGN_SEED'] ?? Date.now() % 1_000_000);
const KIB = 1024;
const CLIENT_COUNT = 6;
const LONGEST_LIFE_MS = 700;

/** Numbers from 0 to 1 (mulberry32). */
function randomNumbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Committed files whose bytes are not those that their name says. */
async function wrongFiles(dataDir: string): Promise<readonly string[]> {
  const entries = await readdir(join(dataDir, 'content', 'v1', 'sha256'), {
    recursive: true,
    withFileTypes: true,
  }).catch(() => []);
  const wrong: string[] = [];
  for (const entry of entries.filter((found) => found.isFile())) {
    const bytes = await readFile(join(entry.parentPath, entry.name));
    if (createHash('sha256').update(bytes).digest('hex') !== entry.name) wrong.push(entry.name);
  }
  return wrong;
}

test(
  `killed at any moment for ${DURATION_MS / 1000} s, it never keeps or serves wrong bytes (seed ${SEED})`,
  async () => {
    const random = randomNumbers(SEED);
    const registry = closeAfterTest(await FakeRegistry.start());
    const blobs = Array.from({ length: 60 }, (_, number) => {
      const size = Math.ceil(random() ** 3 * 6000 * KIB) + number;
      return { size, digest: registry.addBlob('library/app', { size, seed: number + 1 }) };
    });
    // Less than all of them, so that some are evicted.
    const config = {
      cache: { maxSize: '40MiB' },
      upstreams: { 'docker.io': { url: registry.url, default: true } },
    };
    const dataDir = join(await tempDir(), 'data');
    const endsAt = performance.now() + DURATION_MS;
    let rounds = 0;
    let wholeAnswers = 0;
    while (performance.now() < endsAt) {
      const entrepot = await EntrepotProcess.start({ config, dataDir });
      expect((await get(`${entrepot.adminUrl}/readyz`)).status).toBe(200);
      expect(await readdir(join(dataDir, 'content', 'v1', 'ingest'))).toEqual([]);
      const client = async (): Promise<void> => {
        while (entrepot.isRunning) {
          const blob = blobs[Math.floor(random() * blobs.length)];
          const url = `${entrepot.url}/v2/library/app/blobs/${blob?.digest}`;
          const answer = await get(url, { digestOnly: true }).catch(() => undefined);
          if (answer === undefined) return;
          if (!answer.complete) continue;
          expect(answer).toMatchObject({ status: 200, digest: blob?.digest, length: blob?.size });
          wholeAnswers += 1;
        }
      };
      const clients = Promise.all(Array.from({ length: CLIENT_COUNT }, client));
      await delay(random() * LONGEST_LIFE_MS);
      entrepot.signal('SIGKILL');
      await Promise.all([clients, entrepot.ended]);
      expect(await wrongFiles(dataDir)).toEqual([]);
      expect(entrepot.log.filter(({ level }) => level === 'error')).toEqual([]);
      rounds += 1;
    }
    expect(rounds).toBeGreaterThan(1);
    expect(wholeAnswers).toBeGreaterThan(rounds);
  },
  DURATION_MS + 60_000,
);
