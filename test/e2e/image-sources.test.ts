import { spawn } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { tempDir } from '../support/temp-dir.ts';

const ENTRY = join(import.meta.dirname, '..', '..', 'dist', 'entry.cjs');

/** The built program, with what it is told on standard input; nothing ends that where it is absent. */
function run(directory: string, args: readonly string[], stdin?: string) {
  const child = spawn(process.execPath, [ENTRY, ...args], {
    cwd: directory,
    env: { PATH: process.env['PATH'], TAG: '2' },
  });
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (chunk) => (stdout += String(chunk)));
  child.stderr.on('data', (chunk) => (stderr += String(chunk)));
  if (stdin !== undefined) child.stdin.end(stdin);
  const ended = new Promise<number | null>((resolve) => child.on('exit', (code) => resolve(code)));
  return { child, ended, output: () => ({ stdout, stderr }) };
}

async function site(): Promise<string> {
  const directory = await tempDir();
  await writeFile(join(directory, 'config.yaml'), 'offline: true\nadmin: { listen: 127.0.0.1:0 }\n');
  await writeFile(join(directory, 'compose.yaml'), 'services:\n  a: { image: "quay.io/a/b:${TAG}" }\n');
  await writeFile(join(directory, 'Dockerfile'), 'ARG BASE=ghcr.io/org/base\nFROM $BASE:1\n');
  await writeFile(join(directory, 'list.txt'), 'nginx:1.27 # web\nNginx\nalpine:3\n');
  return directory;
}

test('what helm template prints, a directory and arguments are read together by a command', async () => {
  const directory = await site();
  const pod = '---\n# Source: x\napiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - image: redis:7\n';
  const args = ['warm', 'busybox', '--config', 'config.yaml', '--dry-run', '--json', '--from', '-', '.'];
  const { ended, output } = run(directory, args, pod);
  expect(await ended).toBe(1);
  const { stdout, stderr } = output();
  const events = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
  const failed = events.filter(({ event }) => event === 'failed').map(({ image, place }) => [image, place]);
  expect(new Set(failed)).toEqual(
    new Set([
      ['docker.io/library/busybox:latest', undefined],
      ['docker.io/library/redis:7', 'standard input:7'],
      ['ghcr.io/org/base:1', 'Dockerfile:2'],
      ['quay.io/a/b:2', 'compose.yaml:2'],
      ['docker.io/library/nginx:1.27', 'list.txt:1'],
      ['docker.io/library/alpine:3', 'list.txt:3'],
    ]),
  );
  expect(`${stdout}${stderr}`).toContain('list.txt:2');
});

test('a command that waits for standard input ends when it is told to', async () => {
  const directory = await site();
  const { child, ended } = run(directory, ['warm', '--config', 'config.yaml', '--from', '-']);
  // More than a pipe holds: it is all taken once somebody reads.
  await new Promise((resolve) => child.stdin.write('# nothing\n'.repeat(100_000), resolve));
  child.kill('SIGINT');
  expect(await ended).toBe(130);
});
