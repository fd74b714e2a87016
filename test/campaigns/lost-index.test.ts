import { cp, open, readdir, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import type { Digest } from '../../src/oci/digest.ts';
import { closeAfterTest } from '../support/close-after-test.ts';
import { FakeRegistry } from '../support/fake-registry.ts';
import { get } from '../support/http-get.ts';
import { buildImage, pushTo } from '../support/images.ts';
import { type RunningApp, startApp } from '../support/running-app.ts';
import { tempDir } from '../support/temp-dir.ts';
import { randomNumbers } from '../support/random-numbers.ts';

/** CAMPAIGN_RUNS says how many (`npm run test:campaigns -- lost-index`: 300), CAMPAIGN_SEED repeats a run's choices. */
const RUNS = Number(process.env['CAMPAIGN_RUNS'] ?? '10');
const SEED = Number(process.env['CAMPAIGN_SEED'] ?? '1');
const FILES = ['metadata.db', 'metadata.db-wal', 'metadata.db-shm'] as const;

type Damage = (path: string, size: number, random: () => number) => Promise<void>;

async function overwrite(path: string, position: number, bytes: Buffer): Promise<void> {
  const file = await open(path, 'r+');
  await file.write(bytes, 0, bytes.length, position);
  await file.close();
}

const garbage = (length: number, random: () => number) =>
  Buffer.from(Uint8Array.from({ length }, () => random() * 256));

const DAMAGES: Readonly<Record<string, Damage>> = {
  gone: (path) => rm(path),
  empty: (path) => truncate(path, 0),
  zeroed: (path, size) => writeFile(path, Buffer.alloc(size)),
  'cut short': (path, size, random) => truncate(path, Math.floor(random() * size)),
  garbage: (path, size, random) => writeFile(path, garbage(size, random)),
  'garbage in one page': (path, size, random) =>
    overwrite(path, Math.floor((random() * size) / 4096) * 4096, garbage(4096, random)),
  'some bytes of garbage': (path, size, random) =>
    overwrite(path, Math.floor(random() * size), garbage(1 + Math.floor(random() * 64), random)),
  'a page of zeros': (path, size, random) =>
    overwrite(path, Math.floor((random() * size) / 4096) * 4096, Buffer.alloc(4096)),
};

interface Wares {
  readonly registry: FakeRegistry;
  readonly digests: readonly Digest[];
}

async function start({ registry }: Wares, dataDir: string): Promise<RunningApp> {
  return startApp({ upstreams: [{ name: 'docker.io', url: registry.url }], dataDir });
}

async function pull(app: RunningApp, digests: readonly Digest[]): Promise<void> {
  for (const digest of digests) {
    const answer = await get(`${app.url}/v2/library/app/blobs/${digest}`, { digestOnly: true });
    expect(answer).toMatchObject({ status: 200, complete: true, digest });
  }
}

async function filesIn(dataDir: string): Promise<number> {
  const entries = await readdir(join(dataDir, 'content', 'v1', 'sha256'), {
    recursive: true,
    withFileTypes: true,
  });
  return entries.filter((entry) => entry.isFile()).length;
}

async function metric(app: RunningApp, name: string): Promise<number> {
  const { body } = await get(`${app.adminUrl}/metrics`);
  const line = body
    .toString()
    .split('\n')
    .find((each) => each.startsWith(`${name} `));
  return Number(line?.split(' ').at(-1));
}

const BEGAN = 'files and index are brought together';
const ENDED = 'files and index agree';
const lines = ({ logLines }: RunningApp, message: string) => logLines.filter(({ msg }) => msg === message);

async function idle(app: RunningApp): Promise<void> {
  await expect.poll(() => metric(app, 'entrepot_fills_in_flight'), { interval: 5 }).toBe(0);
}

/** A directory after a stop, and one as a crash leaves it: with a log that holds the newest rows. */
async function templates(wares: Wares): Promise<readonly string[]> {
  const stopped = join(await tempDir(), 'data');
  const first = await start(wares, stopped);
  const half = Math.floor(wares.digests.length / 2);
  await pull(first, wares.digests.slice(0, half));
  await get(`${first.url}/v2/library/app/manifests/v1`);
  await idle(first);
  await first.close();
  const going = join(await tempDir(), 'data');
  await cp(stopped, going, { recursive: true });
  const second = await start(wares, going);
  await pull(second, wares.digests.slice(half));
  await idle(second);
  const crashed = join(await tempDir(), 'data');
  await cp(going, crashed, { recursive: true });
  await second.close();
  const whole = join(await tempDir(), 'data');
  await cp(going, whole, { recursive: true });
  return [whole, crashed];
}

async function damageIndex(dataDir: string, random: () => number): Promise<string> {
  const told: string[] = [];
  const always = Math.floor(random() * FILES.length);
  for (const [nth, name] of FILES.entries()) {
    if (nth !== always && random() < 0.6) continue;
    const path = join(dataDir, name);
    const size = (await stat(path).catch(() => undefined))?.size ?? 0;
    const kinds = Object.keys(DAMAGES);
    const kind = kinds[Math.floor(random() * kinds.length)] ?? '';
    if (size === 0) await writeFile(path, garbage(32_768, random));
    else await DAMAGES[kind]?.(path, size, random);
    told.push(`${name} ${size === 0 ? 'made of garbage' : kind}`);
  }
  return told.join(', ');
}

/** Of the blobs: a garbled row costs no more than one or two of them. */
const LARGEST_BYTES = 500 + 23 * 9000;

it(
  'an index that was destroyed in any way is begun anew, and every file found again without a download',
  { timeout: 60_000 + RUNS * 3000 },
  async () => {
    const random = randomNumbers(SEED);
    const registry = closeAfterTest(await FakeRegistry.start());
    const digests = Array.from({ length: 24 }, (_, at) =>
      registry.addBlob('library/app', { size: 500 + at * 9000, seed: at + 1 }),
    );
    const image = buildImage();
    pushTo(registry, { repository: 'library/app', tag: 'v1', image });
    const wares: Wares = { registry, digests };
    const bases = await templates(wares);
    const findings = { runs: 0, begunAnew: 0, adopted: 0, survived: 0, refetched: 0 };
    for (; findings.runs < RUNS; findings.runs += 1) {
      const dataDir = join(await tempDir(), 'data');
      await cp(bases[findings.runs % bases.length] ?? '', dataDir, { recursive: true });
      const how = await damageIndex(dataDir, random);
      registry.forget();
      const app = await start(wares, dataDir);
      await pull(app, digests);
      // Bytes that changed within a row are nothing that SQLite can see: that blob is fetched again, and no other.
      const isSeen =
        lines(app, BEGAN).length > 0 && app.logLines.some(({ msg }) => msg.startsWith('the index'));
      const isRowChanged = !isSeen && how.includes('some bytes of garbage');
      const downloaded = registry.blobBodyBytes();
      if (isRowChanged) expect(downloaded, how).toBeLessThanOrEqual(LARGEST_BYTES * 2);
      else expect(downloaded, how).toBe(0);
      findings.refetched += downloaded > 0 ? 1 : 0;
      await expect
        .poll(() => lines(app, ENDED).length, { timeout: 10_000, message: how, interval: 5 })
        .toBe(lines(app, BEGAN).length);
      // A row that names nothing any more is found out when it is asked for, or by the next reconcile.
      if (!isRowChanged) expect(await metric(app, 'entrepot_store_blobs'), how).toBe(await filesIn(dataDir));
      const errors = app.logLines.filter(({ level }) => level === 'error').map(({ msg }) => msg);
      if (!isRowChanged) {
        expect(await readdir(join(dataDir, 'content', 'v1')), how).not.toContain('quarantine');
        expect(
          errors.filter((msg) => !msg.startsWith('the index')),
          how,
        ).toEqual([]);
      }
      findings.begunAnew += errors.length > 0 ? 1 : 0;
      const adopted = Number(lines(app, ENDED).at(-1)?.['adopted'] ?? 0);
      findings.adopted += adopted;
      findings.survived += errors.length === 0 && adopted === 0 ? 1 : 0;
      await app.close();
      await rm(dataDir, { recursive: true });
    }
    process.stderr.write(`lost indexes: ${JSON.stringify(findings)}\n`);
    // Otherwise it would have shown nothing.
    expect(findings.begunAnew).toBeGreaterThan(RUNS / 20);
    expect(findings.adopted).toBeGreaterThan(RUNS);
    expect(findings.survived).toBeGreaterThan(0);
    expect(findings.refetched).toBeLessThan(RUNS / 20);
  },
);
