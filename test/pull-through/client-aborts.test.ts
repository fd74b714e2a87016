import { readdirSync, readlinkSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { closeAfterTest } from '../support/close-after-test.ts';
import { FakeRegistry } from '../support/fake-registry.ts';
import { get } from '../support/http-get.ts';
import { type RunningApp, startApp } from '../support/running-app.ts';
import { randomNumbers } from '../support/random-numbers.ts';

const MIB = 1024 * 1024;
const SIZE = 3 * MIB;
const ABORTS = 200;
const AT_ONCE = 10;

/** Files below `directory` that this process has open. */
function openFiles(directory: string): string[] {
  return readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      const target = readlinkSync(join('/proc/self/fd', fd));
      return target.startsWith(directory) ? [target] : [];
    } catch {
      return [];
    }
  });
}

async function gauge(app: RunningApp, name: string): Promise<number> {
  const { body } = await get(`${app.adminUrl}/metrics`);
  const found = new RegExp(`^entrepot_${name} (\\d+)$`, 'm').exec(body.toString());
  if (found === null) throw new Error(`there is no gauge ${name}`);
  return Number(found[1]);
}

it.runIf(process.platform === 'linux')(
  'clients that leave at any point of cold and warm pulls leave nothing open behind',
  async () => {
    const registry = closeAfterTest(await FakeRegistry.start());
    const upstreams = [{ name: 'docker.io', url: registry.url }];
    const app = await startApp({ upstreams, cache: { finishFillBytes: 0, fillLingerMs: 5 } });
    const random = randomNumbers(20_261_121);
    const urlOf = (digest: string) => `${app.url}/v2/library/app/blobs/${digest}`;
    const warm = registry.addBlob('library/app', { size: SIZE, seed: 1 });
    await get(urlOf(warm), { digestOnly: true });
    await expect.poll(() => gauge(app, 'store_blobs')).toBe(1);

    registry.faults.add({
      match: { path: /\/blobs\//, method: 'GET' },
      action: { bytesPerSecond: 30 * MIB },
    });

    let aborted = 0;
    const pullAndLeave = async (nth: number) => {
      // Half of them share a cold blob with somebody, a quarter reads what is stored, a quarter is alone.
      const seed = nth % 4 < 2 ? 1000 + Math.floor(nth / 4) : 2000 + nth;
      const digest = nth % 4 === 2 ? warm : registry.addBlob('library/app', { size: SIZE, seed });
      const kind = random();
      const abortAfter = Math.max(1, Math.floor(random() * SIZE));
      if (kind < 0.2) {
        const left = new AbortController();
        setTimeout(() => left.abort(), random() * 10);
        const options = { digestOnly: true, signal: left.signal };
        await get(urlOf(digest), options).catch(() => undefined);
      } else {
        const headers = kind < 0.4 ? { range: `bytes=${Math.floor(SIZE / 2)}-` } : {};
        await get(urlOf(digest), {
          digestOnly: true,
          abortAfter: abortAfter / (kind < 0.4 ? 2 : 1),
          headers,
        });
      }
      aborted += 1;
    };
    for (let nth = 0; nth < ABORTS; nth += AT_ONCE) {
      await Promise.all(Array.from({ length: AT_ONCE }, (_, at) => pullAndLeave(nth + at)));
    }
    expect(aborted).toBe(ABORTS);

    await expect.poll(() => gauge(app, 'fills_in_flight')).toBe(0);
    await expect.poll(() => gauge(app, 'fill_readers')).toBe(0);
    await expect.poll(() => gauge(app, 'store_reserved_bytes')).toBe(0);
    const content = join(app.dataDir, 'content');
    await expect.poll(() => openFiles(content)).toEqual([]);
    await expect.poll(() => readdir(join(content, 'v1', 'ingest'))).toEqual([]);
    // Some fills were given up in the middle, or the test would show little.
    expect(registry.requests.some(({ method, finished }) => method === 'GET' && !finished)).toBe(true);
    expect(await get(urlOf(warm), { digestOnly: true })).toMatchObject({ complete: true, digest: warm });
    expect(app.logLines.filter(({ level }) => level === 'error')).toEqual([]);
  },
);
