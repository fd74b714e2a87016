import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { expect } from 'vitest';
import { sourceBytes } from '../support/byte-source.ts';
import { EntrepotProcess } from '../support/entrepot-process.ts';
import type { FakeRegistry } from '../support/fake-registry.ts';
import { generatedBlob } from '../support/generated-blob.ts';
import { get } from '../support/http-get.ts';
import { buildImage, pushTo } from '../support/images.ts';

const KIB = 1024;
const CLIENT_COUNT = 6;
/** A life is so many answers long at most, so that a slow machine sees as much of it; or so long. */
const MOST_ANSWERS = 60;
const LONGEST_LIFE_MS = 5000;
const LAST_MS = 50;

export interface Wares {
  readonly blobs: readonly { readonly digest: string; readonly bytes: Buffer }[];
  readonly tags: readonly { readonly tag: string; readonly digest: string }[];
}

export interface Tally {
  kills: number;
  wholeAnswers: number;
  ranges: number;
  manifests: number;
  hits: number;
  brokenOff: number;
  operations: number;
  filesVerified: number;
  slowestReadyMs: number;
}

export const emptyTally = (): Tally => ({
  kills: 0,
  wholeAnswers: 0,
  ranges: 0,
  manifests: 0,
  hits: 0,
  brokenOff: 0,
  operations: 0,
  filesVerified: 0,
  slowestReadyMs: 0,
});

/** Blobs of up to 3 MiB and images: more than the cache may hold, so that some are evicted. */
export function stock(registry: FakeRegistry, random: () => number): Wares {
  const blobs = Array.from({ length: 60 }, (_, number) => {
    const size = Math.ceil(random() ** 3 * 3000 * KIB) + number;
    const recipe = { size, seed: number + 1 };
    return { digest: registry.addBlob('library/app', recipe), bytes: sourceBytes(generatedBlob(recipe)) };
  });
  const tags = Array.from({ length: 6 }, (_, number) => {
    const image = buildImage({ seed: number + 1, layerSizes: [20_000, 50_000] });
    pushTo(registry, { repository: 'library/app', tag: `v${number}`, image });
    for (const { digest, bytes } of image.blobs) blobs.push({ digest, bytes });
    return { tag: `v${number}`, digest: image.root.digest };
  });
  return { blobs, tags };
}

const isAlarm = ({ level, msg }: { readonly level: string; readonly msg: string }) =>
  level === 'error' || (level === 'warn' && msg === 'files and index agree');

/** One life: started on what the one before left, put under load, killed; then every file is read. */
export async function liveAndDie(
  registryUrl: string,
  dataDir: string,
  wares: Wares,
  tally: Tally,
  random: () => number,
): Promise<void> {
  const startedAt = performance.now();
  const entrepot = await EntrepotProcess.start({ config: configOf(registryUrl, random() < 0.5), dataDir });
  expect((await get(`${entrepot.adminUrl}/readyz`)).status).toBe(200);
  tally.slowestReadyMs = Math.max(tally.slowestReadyMs, Math.round(performance.now() - startedAt));
  const life = { answers: 0, enough: random() ** 2 * MOST_ANSWERS };
  const client = async (): Promise<void> => {
    while (entrepot.isRunning && (await ask(entrepot, wares, tally, random))) life.answers += 1;
  };
  const clients = Promise.all(Array.from({ length: CLIENT_COUNT }, client));
  const endsAt = performance.now() + LONGEST_LIFE_MS;
  while (life.answers < life.enough && performance.now() < endsAt) await delay(2);
  await delay(random() * LAST_MS);
  entrepot.signal('SIGKILL');
  await Promise.all([clients, entrepot.ended]);
  tally.kills += 1;
  expect(entrepot.log.filter(isAlarm)).toEqual([]);
  tally.filesVerified += await verifyFiles(dataDir);
}

/** A last life that is not killed: files and index agree, and everything is served. */
export async function settle(registryUrl: string, dataDir: string, wares: Wares): Promise<void> {
  const entrepot = await EntrepotProcess.start({ config: configOf(registryUrl, true), dataDir });
  await entrepot.logged('files and index agree');
  for (const { digest, bytes } of wares.blobs) {
    const answer = await get(`${entrepot.url}/v2/library/app/blobs/${digest}`, { digestOnly: true });
    expect(answer).toMatchObject({ status: 200, complete: true, digest, length: bytes.length });
  }
  await expect.poll(() => entrepot.metric('entrepot_fills_in_flight')).toBe(0);
  const wrong = await entrepot.metric('entrepot_integrity_failures_total');
  expect((await entrepot.stop()).code).toBe(0);
  expect(wrong).toBe(0);
  await verifyFiles(dataDir);
}

function configOf(registryUrl: string, verifyOnRead: boolean): Record<string, unknown> {
  return {
    cache: { maxSize: '24MiB', verifyOnRead, scrub: { every: '1s', rate: '64MiB' } },
    upstreams: { 'docker.io': { url: registryUrl, default: true, tagTtl: '0s' } },
  };
}

/** @returns false when nobody is there any more */
async function ask(
  { url, adminUrl }: EntrepotProcess,
  wares: Wares,
  tally: Tally,
  random: () => number,
): Promise<boolean> {
  const kind = random();
  if (kind < 0.02) return operate(adminUrl, wares, tally, random);
  if (kind < 0.15) return askManifest(url, wares, tally, random);
  const { digest, bytes } = chosen(wares.blobs, random);
  const blobUrl = `${url}/v2/library/app/blobs/${digest}`;
  if (kind < 0.35) {
    const start = Math.floor(random() * bytes.length);
    const end = Math.min(bytes.length, start + 1 + Math.floor(random() * 300_000));
    const headers = { range: `bytes=${start}-${end - 1}` };
    const answer = await get(blobUrl, { headers }).catch(() => undefined);
    if (answer?.complete === true) {
      expect(answer.status).toBe(206);
      expect(answer.body.equals(bytes.subarray(start, end))).toBe(true);
      tally.ranges += 1;
    }
    return answer !== undefined;
  }
  const answer = await get(blobUrl, { digestOnly: true }).catch(() => undefined);
  if (answer === undefined) return false;
  if (!answer.complete) {
    tally.brokenOff += 1;
    return true;
  }
  expect(answer).toMatchObject({ status: 200, digest, length: bytes.length });
  tally.wholeAnswers += 1;
  if (answer.headers['x-cache'] === 'HIT') tally.hits += 1;
  return true;
}

/** Purges an image or all that there is, evicts, or verifies, through the running server. */
async function operate(adminUrl: string, wares: Wares, tally: Tally, random: () => number): Promise<boolean> {
  const repository = { upstream: 'docker.io', repository: 'library/app' };
  const [path, body] = chosen<readonly [string, object]>(
    [
      ['purge', { ...repository, tag: chosen(wares.tags, random).tag }],
      ['purge', repository],
      ['evict', { toBytes: 4096 * KIB }],
      ['verify', {}],
    ],
    random,
  );
  try {
    const answer = await fetch(`${adminUrl}/api/v1/${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    // 404: nothing of it is here; 429: as many are running as may.
    expect([200, 404, 429]).toContain(answer.status);
    await answer.text();
  } catch (error) {
    if (error instanceof TypeError) return false;
    throw error;
  }
  tally.operations += 1;
  return true;
}

async function askManifest(url: string, wares: Wares, tally: Tally, random: () => number): Promise<boolean> {
  const { tag, digest } = chosen(wares.tags, random);
  const reference = random() < 0.5 ? tag : digest;
  const answer = await get(`${url}/v2/library/app/manifests/${reference}`).catch(() => undefined);
  if (answer?.complete === true) {
    expect(answer).toMatchObject({ status: 200, digest });
    tally.manifests += 1;
  }
  return answer !== undefined;
}

function chosen<T>(all: readonly T[], random: () => number): T {
  const one = all[Math.floor(random() * all.length)];
  if (one === undefined) throw new Error('there is nothing to choose from');
  return one;
}

/** All committed files hold what their names say, and nothing was ever set aside. @returns how many there are */
async function verifyFiles(dataDir: string): Promise<number> {
  const root = join(dataDir, 'content', 'v1');
  const entries = await readdir(join(root, 'sha256'), { recursive: true, withFileTypes: true }).catch(
    () => [],
  );
  const files = entries.filter((found) => found.isFile());
  const wrong: string[] = [];
  for (const { name, parentPath } of files) {
    const bytes = await readFile(join(parentPath, name));
    if (createHash('sha256').update(bytes).digest('hex') !== name) wrong.push(name);
  }
  expect(wrong).toEqual([]);
  expect(await readdir(join(root, 'quarantine')).catch(() => [])).toEqual([]);
  return files.length;
}
