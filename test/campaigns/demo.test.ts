import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';

const ROOT = join(import.meta.dirname, '..', '..');

async function run(...args: readonly string[]): Promise<string> {
  const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: ROOT, timeout: 60_000 });
  return stdout;
}

test('the demo pulls cold, together, warm and with its upstream away, and every digest is right', async () => {
  // Not `npm run demo`: it would build the program anew under the feet of the other tests.
  const outDir = '.bench/demo-test';
  await run('node_modules/typescript/bin/tsc', '-p', 'tsconfig.scripts.json', '--outDir', outDir);
  const said = await run(join(outDir, 'test/demo/main.js'));
  expect(said).toContain('Every body had the right digest, and the upstream sent each blob once.');
  expect(said).toMatch(/^cold, 8 clients at once .*JOINED/m);
  expect(said).toMatch(/^warm .*REVALIDATED 1, HIT 6/m);
  expect(said).toMatch(/^upstream away .*STALE 1, HIT 6/m);
}, 90_000);
