import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';

/** An empty directory that is gone, with all that is in it, when the running test has finished. Only inside a test. */
export async function tempDir(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'entrepot-test-'));
  onTestFinished(async () => {
    await rm(path, { recursive: true, force: true, maxRetries: 3 });
  });
  return path;
}
