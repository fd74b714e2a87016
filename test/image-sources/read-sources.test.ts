import { execFileSync } from 'node:child_process';
import { mkdir, symlink, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { readSources } from '../../src/image-sources/read-sources.ts';
import { tempDir } from '../support/temp-dir.ts';

const never = new AbortController().signal;

async function filesIn(files: Record<string, string | Uint8Array>): Promise<string> {
  const directory = await tempDir();
  for (const [path, content] of Object.entries(files)) {
    await mkdir(join(directory, path, '..'), { recursive: true });
    await writeFile(join(directory, path), content);
  }
  return directory;
}

async function read(
  workingDir: string,
  paths: readonly string[],
  {
    stdin,
    environment = {},
  }: { readonly stdin?: string; readonly environment?: Record<string, string> } = {},
) {
  const input = stdin === undefined ? undefined : chunks(stdin);
  const { images, problems } = await readSources(paths, { workingDir, stdin: input, environment }, never);
  return {
    images: images.map(({ place, text }) => `${place} ${text}`),
    problems: problems.map(({ place, message }) => `${place}: ${message}`),
  };
}

async function* chunks(text: string): AsyncGenerator<Uint8Array> {
  // In pieces that cut characters in two.
  for (const byte of Buffer.from(text)) yield Uint8Array.of(byte);
}

test('files, directories and standard input are read in the order in which they are named', async () => {
  const directory = await filesIn({
    'list.txt': 'one\n',
    'site/b.yaml': 'kind: Pod\nspec: {containers: [{image: b}]}\n',
    'site/a/compose.yml': 'services: {x: {image: "a:${TAG}"}}\n',
    'site/a/.env': 'TAG=from-env-file\n',
    'site/c/Dockerfile': 'FROM c\n',
    'site/README.md': 'image: not-read\n',
    'site/.git/x.yaml': 'image: not/read:1\n',
    'site/chart/Chart.yaml': 'apiVersion: v2\nname: chart\n',
    'site/chart/values.yaml': 'image: {repository: d, tag: "1"}\n',
    'site/chart/templates/x.yaml': 'image: {{ .Values.image }}\n',
  });
  expect(await read(directory, ['-', 'site', 'list.txt'], { stdin: '# ü\nzero' })).toEqual({
    images: [
      'standard input:2 zero',
      'site/a/compose.yml:1 a:from-env-file',
      'site/b.yaml:2 b',
      'site/c/Dockerfile:1 c',
      'site/chart/values.yaml:1 d:1',
      'list.txt:1 one',
    ],
    problems: [],
  });
});

test('what cannot be read is a problem, and the others are read', async () => {
  const directory = await filesIn({
    'good.txt': 'good\n',
    'empty.txt': '# nothing\n',
    'empty/README.md': '',
    binary: Uint8Array.of(0x7f, 0x45, 0, 1),
    'huge.txt': '',
    'broken.yaml': 'a: [\n',
  });
  await truncate(join(directory, 'huge.txt'), 17 * 1024 * 1024);
  execFileSync('mkfifo', [join(directory, 'pipe')]);
  const paths = [
    'none',
    'binary',
    'huge.txt',
    'empty.txt',
    'empty',
    'pipe',
    'broken.yaml',
    '-',
    'good.txt',
    'good.txt/x',
  ];
  expect(await read(directory, paths)).toEqual({
    images: ['good.txt:1 good'],
    problems: [
      'none: there is no such file or directory',
      'binary: it is no text',
      'huge.txt: it is larger than 16777216 bytes',
      'empty.txt: there is no image in it',
      'empty: there is no image in it',
      'pipe: it is neither a file nor a directory',
      expect.stringMatching(/^broken\.yaml:\d: this YAML cannot be read/),
      'standard input: there is no standard input here',
      'good.txt/x: there is no such file or directory',
    ],
  });
});

test('what lies about in a directory and is something else is passed over, unless it is named itself', async () => {
  const files = {
    'site/images.txt': 'nginx\nredis 7\nbusybox\n',
    'site/requirements.txt': 'flask==3.0\nnumpy>=2\nrequests\n',
    'site/LICENSE.txt': 'Permission is hereby granted, free of charge\n',
    'site/tsconfig.json': '{\n  // comment\n  "a": "b:1"\n}\n',
    'site/pod.json': '{"apiVersion": "v1", "kind": "Pod", "spec": {"containers": [{"image": "a"}]}}',
    'site/broken.yaml': 'a: [\n',
  };
  const directory = await filesIn(files);
  const { images, problems } = await read(directory, ['site']);
  expect(images).toEqual(['site/images.txt:1 nginx', 'site/images.txt:3 busybox', 'site/pod.json:1 a']);
  expect(problems.map((line) => line.slice(0, line.indexOf(':')))).toEqual([
    'site/broken.yaml',
    'site/images.txt',
  ]);
  expect((await read(directory, ['site/requirements.txt'])).problems).toHaveLength(2);
});

test('links are followed, but not in circles', async () => {
  const directory = await filesIn({ 'real/a.txt': 'a\n', 'site/b.txt': 'b\n' });
  await symlink('../real', join(directory, 'site', 'linked'));
  await symlink('..', join(directory, 'real', 'up'));
  await symlink('../site', join(directory, 'real', 'site'));
  await symlink('self.txt', join(directory, 'site', 'self.txt'));
  const { images, problems } = await read(directory, ['site']);
  expect(new Set(images.map((line) => line.split(' ')[1]))).toEqual(new Set(['a', 'b']));
  expect(problems).toEqual(['site/self.txt: its links lead in a circle']);
});

test('directories that are too deep are a problem, once for each', async () => {
  const directory = await filesIn({ [`${'d/'.repeat(20)}x.txt`]: 'x\n', 'd/y.txt': 'y\n' });
  const { images, problems } = await read(directory, ['d']);
  expect(images).toEqual(['d/y.txt:1 y']);
  expect(problems).toEqual([expect.stringMatching(/^(?:d\/){17}d: it is more than 16 directories deep$/)]);
});

test('the environment outranks the file of variables, whose variables may use each other', async () => {
  const directory = await filesIn({
    'compose.yaml': 'services: {a: {image: "$REGISTRY/a:$TAG"}, b: {image: "b:${QUOTED}"}}\n',
    '.env': 'HOST=r.example.com\nREGISTRY=${HOST}/x\nTAG=old\nQUOTED="1.0" # comment\n',
  });
  expect((await read(directory, ['compose.yaml'], { environment: { TAG: 'new' } })).images).toEqual([
    'compose.yaml:1 r.example.com/x/a:new',
    'compose.yaml:1 b:1.0',
  ]);
});

test('what PowerShell wrote is read as well', async () => {
  const directory = await filesIn({ 'x.txt': Buffer.from('\uFEFFnginx:1\r\n', 'utf16le') });
  expect((await read(directory, ['x.txt'])).images).toEqual(['x.txt:1 nginx:1']);
});

test('a signal ends it, also while it waits for standard input or for a pipe', async () => {
  const directory = await tempDir();
  execFileSync('mkfifo', [join(directory, 'pipe')]);
  const said = (async function* () {
    yield Buffer.from('a\n');
    await new Promise(() => undefined);
  })();
  for (const path of ['-', 'pipe']) {
    const ending = new AbortController();
    const reading = readSources(
      [path],
      { workingDir: directory, stdin: said, environment: {} },
      ending.signal,
    );
    setTimeout(() => ending.abort(new Error('stopped')), 50);
    await expect(reading).rejects.toThrow('stopped');
  }
  // Whoever opens a pipe holds a thread until somebody is at its other end.
  await writeFile(join(directory, 'pipe'), '');
});

test('a pipe is read to its end where there is standard input', async () => {
  const directory = await tempDir();
  execFileSync('mkfifo', [join(directory, 'pipe')]);
  const writing = writeFile(join(directory, 'pipe'), 'kind: Pod\nspec: {containers: [{image: a}]}\n');
  expect(await read(directory, ['pipe'], { stdin: '' })).toEqual({ images: ['pipe:2 a'], problems: [] });
  await writing;
});
