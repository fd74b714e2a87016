import { execFileSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { bundleManifest } from '../../src/bundle/bundle-manifest.ts';
import { runProgram } from '../../src/commands/program.ts';
import { fakeProcess } from '../support/fake-process.ts';
import { bundleEntries, replaced } from '../support/image-archives.ts';
import { buildImage } from '../support/images.ts';
import { tarArchive, type TarEntry } from '../support/tar-archive.ts';

const ENTRIES = bundleEntries({
  images: [{ image: buildImage(), upstream: 'docker.io', repository: 'library/app', tags: ['v1'] }],
});
/** Clears a terminal, begins a line of its own, and turns words round. */
const HOSTILE = '\u001b[2J\n5 images imported.\u202e\u009b';
const SHOWN = '\\u001b[2J\\u000a5 images imported.\\u202e\\u009b';

/** What is said of an archive with these entries. */
async function told(...archives: readonly (readonly TarEntry[] | undefined)[]): Promise<{
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}> {
  const { io, ...heard } = await fakeProcess();
  const write = (name: string, bytes: Uint8Array | string) => writeFile(join(io.workingDir, name), bytes);
  await write('config.yaml', '{ dataDir: ./data, offline: true, cache: { maxSize: 2MiB } }');
  for (const [at, entries] of archives.entries()) {
    if (entries === undefined) execFileSync('mkfifo', [join(io.workingDir, `${at}.tar`)]);
    else await write(`${at}.tar`, tarArchive(entries));
  }
  const files = archives.map((_, at) => `${at}.tar`);
  const code = await runProgram(['import', ...files, '--config', 'config.yaml'], { ...io, environment: {} });
  return { code, stdout: heard.stdout(), stderr: heard.stderr() };
}

const isManifest = (path: string): boolean => path === 'entrepot.json';

/** With its own words changed, and nothing else: it is not signed. */
function saying(change: (manifest: Record<string, unknown>) => object): readonly TarEntry[] {
  return replaced(ENTRIES, isManifest, (bytes) =>
    Buffer.from(JSON.stringify(change(JSON.parse(bytes.toString()) as Record<string, unknown>))),
  );
}

function withImage(facts: object): readonly TarEntry[] {
  return saying((manifest) => {
    const [image] = manifest['images'] as readonly object[];
    return { ...manifest, images: [{ ...image, ...facts }] };
  });
}

describe('what an archive says', () => {
  test.each([
    ['the name of an upstream', withImage({ upstream: HOSTILE })],
    [
      'the name of a file',
      saying((manifest) => ({ ...manifest, files: { [HOSTILE]: ['sha256:' + 'a'.repeat(64), 1] } })),
    ],
  ])('moves no cursor and begins no line: %s', async (_, entries) => {
    const { stderr, code } = await told(entries);
    expect(stderr).toContain(SHOWN);
    expect(stderr.split('\n')).toHaveLength(3);
    expect(code).toBe(1);
  });

  test('may be more than the store has room for, and the next file is imported', async () => {
    const big = bundleEntries({
      images: [
        {
          image: buildImage({ seed: 2, layerSizes: [3_000_000] }),
          upstream: 'docker.io',
          repository: 'library/big',
          tags: ['v1'],
        },
      ],
    });
    const { code, stdout, stderr } = await told(big, ENTRIES);
    expect(stderr).toContain('0.tar: the store is too small: ');
    expect(stdout).toContain('docker.io/library/app:v1');
    expect(code).toBe(1);
  });

  test('as of a time that there never was is refused, and the next file is imported', async () => {
    const { stdout, stderr } = await told(withImage({ checkedAt: -1e300 }), ENTRIES);
    expect(stderr).toContain('0.tar: entrepot.json: images.0.checkedAt: ');
    expect(stdout).toContain('docker.io/library/app:v1');
  });

  test('may be wrong a million times, and is told once', () => {
    const images = Array.from({ length: 100_000 }, () => ({}));
    const { error } = bundleManifest.safeParse({ entrepotBundle: 1, images });
    expect(error?.issues.filter(({ path }) => path[0] === 'images')).toHaveLength(1);
  });

  test('need not come to an end where nobody says anything: a pipe is no archive', async () => {
    const { stdout, stderr } = await told(undefined, ENTRIES);
    expect(stderr).toContain('0.tar: is neither a file nor a directory');
    expect(stdout).toContain('docker.io/library/app:v1');
  });
});
