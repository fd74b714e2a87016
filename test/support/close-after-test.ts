import { onTestFinished } from 'vitest';

/** Closes `resource` when the running test has finished, however it did. Call it only inside a test. */
export function closeAfterTest<T extends { close(): Promise<unknown> }>(resource: T): T {
  onTestFinished(async () => {
    await resource.close();
  });
  return resource;
}
