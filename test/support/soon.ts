/** For `vi.waitFor`, and what `expect.poll` goes by (vitest.config.ts): how long what must happen may take, on any machine. */
export const SOON = { timeout: 30_000 };
