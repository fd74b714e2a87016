import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';

/** Where `npm run bench` runs. */
export const BENCH_ROOT = join(import.meta.dirname, '..', '..');

const BUILD_LIMIT_MS = 60_000;

/** Compiles the bench into a directory below the root; its program's path from there. */
export async function builtBench(outDir: string): Promise<string> {
  const args = ['node_modules/typescript/bin/tsc', '-p', 'tsconfig.scripts.json', '--outDir', outDir];
  await promisify(execFile)(process.execPath, args, { cwd: BENCH_ROOT, timeout: BUILD_LIMIT_MS });
  return join(outDir, 'test/bench/main.js');
}
