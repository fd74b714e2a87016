import { createWriteStream } from 'node:fs';
import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { ChildProgram } from '../support/child-program.ts';
import { runHere } from '../support/command-here.ts';
import { freePort } from '../support/free-port.ts';
import { EntrepotProcess } from '../support/entrepot-process.ts';
import { bundleEntries, contentsOf } from '../support/image-archives.ts';
import { buildImage } from '../support/images.ts';
import { tarArchive } from '../support/tar-archive.ts';
import { tempDir } from '../support/temp-dir.ts';

const ENTRY = join(import.meta.dirname, '..', '..', 'dist', 'entry.cjs');
const MB = 1_000_000;
const ONE = buildImage({ seed: 1, layerSizes: [6 * MB, 5 * MB, 4 * MB] });
const TWO = buildImage({ seed: 2, layerSizes: [6 * MB, 3 * MB, 2 * MB] });
const COUNT = contentsOf([ONE, TWO]).length;

async function place(): Promise<string> {
  const directory = await tempDir();
  const named = { upstream: 'docker.io', repository: 'library/app' };
  const entries = bundleEntries({
    images: [
      { image: ONE, ...named, tags: ['one'] },
      { image: TWO, ...named, tags: ['two'] },
    ],
  });
  await new Promise<void>((resolve) => {
    createWriteStream(join(directory, 'site.tar')).end(tarArchive(entries), resolve);
  });
  const config = {
    listen: '127.0.0.1:0',
    admin: { listen: `127.0.0.1:${await freePort()}` },
    dataDir: './data',
    offline: true,
    upstreams: { 'docker.io': { url: 'http://127.0.0.1:9' } },
  };
  await writeFile(join(directory, 'config.yaml'), JSON.stringify(config));
  return directory;
}

async function run(directory: string, ...args: readonly string[]): Promise<Record<string, unknown>> {
  const { code, stdout, stderr } = await runHere([...args, '--json', '--config', 'config.yaml'], {
    workingDir: directory,
  });
  if (code !== 0) throw new Error(`${args.join(' ')}: ${code}\n${stdout}\n${stderr}`);
  return JSON.parse(stdout) as Record<string, unknown>;
}

async function files(directory: string): Promise<number> {
  const root = join(directory, 'data', 'content', 'v1', 'sha256');
  const found = await readdir(root, { recursive: true, withFileTypes: true }).catch(() => []);
  return found.filter((entry) => entry.isFile()).length;
}

/** Until so many files are there, or it is over. */
async function untilThere(directory: string, count: number, program: ChildProgram): Promise<void> {
  while (program.isRunning && (await files(directory)) < count)
    await new Promise((resolve) => setTimeout(resolve, 2));
}

function importing(directory: string): ChildProgram {
  const args = [ENTRY, 'import', 'site.tar', '--config', 'config.yaml'];
  return new ChildProgram(process.execPath, args, { workingDir: directory });
}

async function expectWhole(directory: string): Promise<void> {
  expect(await run(directory, 'import', 'site.tar')).toMatchObject({ failures: [] });
  expect(await run(directory, 'import', 'site.tar')).toMatchObject({ added: 0, present: 2, blobs: 0 });
  expect(await run(directory, 'verify')).toMatchObject({ blobs: COUNT, damaged: [], unreadable: [] });
  const { images } = await run(directory, 'images');
  expect(images).toHaveLength(2);
}

test.each([1, 2, 4, 6])(
  'an import that is killed after %d files is run again, and all of it is right',
  async (count) => {
    const directory = await place();
    const program = importing(directory);
    await untilThere(directory, count, program);
    program.signal('SIGKILL');
    expect((await program.ended).signal).toBe('SIGKILL');
    await expectWhole(directory);
  },
);

test('an import whose server is killed says so, and is right when both are run again', async () => {
  const directory = await place();
  const args = ['serve', '--config', 'config.yaml'];
  const server = await EntrepotProcess.spawn(args, { workingDir: directory });
  const program = importing(directory);
  await untilThere(directory, 2, program);
  server.signal('SIGKILL');
  await server.ended;
  expect((await program.ended).code).toBe(1);
  expect(program.stderr).toMatch(/^entrepot: the data directory is in use, but what should be its server/m);
  await EntrepotProcess.spawn(args, { workingDir: directory });
  await expectWhole(directory);
});

test('a signal ends an import, and what was taken in stays', async () => {
  const directory = await place();
  const program = importing(directory);
  await untilThere(directory, 2, program);
  program.signal('SIGINT');
  expect((await program.ended).code).toBe(130);
  expect(await files(directory)).toBeGreaterThan(0);
  await expectWhole(directory);
});
