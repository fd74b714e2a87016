import { stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { runHere } from '../support/command-here.ts';
import { EntrepotProcess } from '../support/entrepot-process.ts';
import { FakeRegistry } from '../support/fake-registry.ts';
import { closeAfterTest } from '../support/close-after-test.ts';
import { get } from '../support/http-get.ts';
import { buildImage, pushTo } from '../support/images.ts';
import { tempDir } from '../support/temp-dir.ts';

const MB = 1_000_000;
const BASE = { size: 3 * MB, seed: 99 };
const OLD = buildImage({ seed: 1, base: BASE, layerSizes: [20_000] });
const NEW = buildImage({ seed: 2, base: BASE, layerSizes: [20_000] });

/** A directory with a configuration, and commands in it. */
async function side(config: object) {
  const workingDir = await tempDir();
  const place = join(workingDir, 'config.yaml');
  await writeFile(place, JSON.stringify({ listen: '127.0.0.1:0', dataDir: './data', ...config }));
  const run = async (...args: readonly string[]) => {
    const ended = await runHere([...args, '--config', 'config.yaml'], { workingDir });
    return { ...ended, said: ended.stdout + ended.stderr };
  };
  return { workingDir, run, at: (name: string) => join(workingDir, name) };
}

test('a delta carries what the other side has not, and both have the same in the end', async () => {
  const registry = closeAfterTest(await FakeRegistry.start());
  for (const [tag, image] of [
    ['v1', OLD],
    ['v2', NEW],
  ] as const)
    pushTo(registry, { repository: 'library/app', tag, image });
  const here = await side({ upstreams: { 'docker.io': { url: registry.url } } });
  const there = await side({ offline: true, upstreams: { 'docker.io': { url: 'http://127.0.0.1:9' } } });

  expect((await here.run('warm', 'app:v1')).code).toBe(0);
  expect((await here.run('export', 'app:v1', '--output', 'full.tar')).code).toBe(0);
  expect((await there.run('import', here.at('full.tar'))).code).toBe(0);
  expect((await there.run('inventory', '--output', 'site.inventory')).code).toBe(0);

  expect((await here.run('warm', 'app:v2')).code).toBe(0);
  const delta = [
    'export',
    'app:v2',
    '--output',
    'delta.tar',
    '--missing-only-from',
    there.at('site.inventory'),
  ];
  expect((await here.run(...delta)).code).toBe(0);
  expect((await stat(here.at('delta.tar'))).size).toBeLessThan(100_000);

  // One that is not the side that the inventory came from is told what it lacks, and has nothing of it.
  const stranger = await side({ offline: true, upstreams: { 'docker.io': { url: 'http://127.0.0.1:9' } } });
  const refused = await stranger.run('import', here.at('delta.tar'));
  expect(refused.code).toBe(1);
  expect(refused.said).toContain('was left out because the other side was to have it');
  expect((await stranger.run('images', '--json')).stdout).toContain('"images": []');

  const imported = await there.run('import', here.at('delta.tar'));
  expect([imported.code, imported.said]).toEqual([0, expect.stringContaining('1 image imported')]);
  expect((await there.run('verify')).code).toBe(0);

  const entrepot = await EntrepotProcess.spawn(['serve', '--config', 'config.yaml'], {
    workingDir: there.workingDir,
  });
  const { mediaType, bytes } = NEW.root;
  const base = `${entrepot.url}/v2/library/app`;
  const manifest = await get(`${base}/manifests/v2`, { headers: { accept: mediaType } });
  expect(manifest.body.equals(bytes)).toBe(true);
  for (const blob of NEW.blobs) {
    const answer = await get(`${base}/blobs/${blob.digest}`);
    expect([answer.status, answer.body.equals(blob.bytes)]).toEqual([200, true]);
  }
});
