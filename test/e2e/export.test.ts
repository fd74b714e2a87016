import { existsSync, statSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { expect, onTestFinished, test } from 'vitest';
import { exportScene, tarEntries } from '../commands/export-scene.ts';
import { ChildProgram } from '../support/child-program.ts';
import { runHere } from '../support/command-here.ts';
import { EntrepotProcess } from '../support/entrepot-process.ts';
import { buildImage } from '../support/images.ts';

const MIB = 1024 * 1024;
const ENTRY = join(import.meta.dirname, '..', '..', 'dist', 'entry.cjs');
/** Large enough to be caught in the middle. */
const IMAGE = buildImage({ seed: 1, layerSizes: [5000, 96 * MIB] });
const TOKEN = 'canary-admin-token';
const CACHED = { repository: 'library/app', tag: 'v1', image: IMAGE };

/** The bytes that are under the name of something unfinished. */
function grown(path: string): number {
  if (!existsSync(path)) return 0;
  const { size } = statSync(path);
  return size;
}

test('kill -9 in the middle leaves nothing under the final name, and the next export is right and says so', async () => {
  const { dataDir, workingDir } = await exportScene([CACHED]);
  const environment = { ENTREPOT_DATA_DIR: dataDir };
  for (const [output, growing] of [
    ['app.tar', 'app.tar.partial'],
    ['layout', `layout.partial/blobs/sha256/${IMAGE.manifests[0]?.layers[1]?.digest.slice(7)}`],
  ] as const) {
    const args = ['export', 'app:v1', '--output', output];
    const program = new ChildProgram(process.execPath, [ENTRY, ...args], {
      environment: { PATH: process.env['PATH'], ...environment },
      workingDir,
    });
    onTestFinished(async () => {
      await program.stop();
    });
    while (grown(join(workingDir, growing)) < MIB && program.isRunning) await delay(1);
    program.signal('SIGKILL');
    expect(await program.ended).toEqual({ code: null, signal: 'SIGKILL' });
    expect(existsSync(join(workingDir, output))).toBe(false);
    expect(existsSync(join(workingDir, `${output}.partial`))).toBe(true);

    const again = await runHere(args, { workingDir, environment });
    expect(again).toMatchObject({ code: 0 });
    expect(again.stderr).toContain('interrupted export');
  }
  const entries = await tarEntries(join(workingDir, 'app.tar'));
  for (const { digest, bytes } of [IMAGE.root, ...IMAGE.blobs]) {
    const name = `blobs/${digest.replace(':', '/')}`;
    expect(entries.get(name)?.equals(bytes)).toBe(true);
    expect((await readFile(join(workingDir, 'layout', name))).equals(bytes)).toBe(true);
  }
  expect((await readdir(workingDir)).toSorted()).toEqual(['app.tar', 'layout']);
});

test('SIGINT ends an export, and leaves nothing of it', async () => {
  const { dataDir, workingDir } = await exportScene([CACHED]);
  const program = new ChildProgram(process.execPath, [ENTRY, 'export', 'app:v1', '--output', 'app.tar'], {
    environment: { PATH: process.env['PATH'], ENTREPOT_DATA_DIR: dataDir },
    workingDir,
  });
  onTestFinished(async () => {
    await program.stop();
  });
  while (grown(join(workingDir, 'app.tar.partial')) < MIB && program.isRunning) await delay(1);
  program.signal('SIGINT');
  expect(await program.ended).toMatchObject({ code: 130 });
  expect(await readdir(workingDir)).toEqual([]);
});

test('through the server that holds the directory it is the same export', async () => {
  const { dataDir, workingDir, registry } = await exportScene([CACHED]);
  const environment = { ENTREPOT_DATA_DIR: dataDir };
  const here = await runHere(['export', 'app:v1', '--output', 'here.tar'], { workingDir, environment });
  expect(here).toMatchObject({ code: 0 });
  const entrepot = await EntrepotProcess.start({
    dataDir,
    config: {
      admin: { listen: '127.0.0.1:0', token: TOKEN },
      upstreams: { 'docker.io': { url: registry.url, default: true } },
    },
  });
  const port = new URL(entrepot.adminUrl).port;
  const served = { ...environment, ENTREPOT_ADMIN_LISTEN: `127.0.0.1:${port}`, ENTREPOT_ADMIN_TOKEN: TOKEN };
  const there = await runHere(['export', 'app:v1', '--output', 'there.tar'], {
    workingDir,
    environment: served,
  });
  expect(there).toMatchObject({ code: 0 });
  const [one, two] = [
    await tarEntries(join(workingDir, 'here.tar')),
    await tarEntries(join(workingDir, 'there.tar')),
  ];
  expect([...two.keys()]).toEqual([...one.keys()]);
  for (const [name, bytes] of one)
    if (name !== 'entrepot.json') expect(two.get(name)?.equals(bytes)).toBe(true);
  const listed = await runHere(['inventory', '--output', 'i', '--json'], {
    workingDir,
    environment: served,
  });
  expect(JSON.parse(listed.stdout)).toMatchObject({ count: IMAGE.blobs.length + 1 });
  const untrusted = { ...served, ENTREPOT_ADMIN_TOKEN: 'canary-of-somebody-else' };
  const refused = await runHere(['export', 'app:v1', '--output', 'refused.tar'], {
    workingDir,
    environment: untrusted,
  });
  expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining('does not take') as string });
  // A bundle is carried to others: no secret may be in what is said or written.
  const said = [there, listed, refused].map(({ stdout, stderr }) => stdout + stderr).join('');
  const documents = [...two]
    .filter(([name]) => !name.startsWith('blobs/'))
    .map(([, bytes]) => bytes.toString());
  expect(said + documents.join('')).not.toContain('canary');
});
