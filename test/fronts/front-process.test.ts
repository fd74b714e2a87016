import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import type { OwnerMessage } from '../../src/fronts/front-messages.ts';
import { packageVersion } from '../../src/package-version.ts';
import { tempDir } from '../support/temp-dir.ts';

const FRONT = join(import.meta.dirname, '..', '..', 'dist', 'front-main.js');
/** An owner that begins one front, tells its pid and its word, and does nothing else. */
const OWNER = `
  const front = require('node:child_process').fork(process.argv[1], [], { stdio: ['ignore', 'ignore', 'ignore', 'ipc'] });
  front.send(JSON.parse(process.argv[2]));
  front.on('message', ({ kind }) => process.stdout.write(kind));
  process.stdout.write(front.pid + ' ');
`;

// Who has ended may stay a zombie, where nobody asks how it ended.
function runs(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

test.each([
  // Loading its modules takes it longer than that.
  ['while it starts', /^\d+ /],
  ['while it serves', /^\d+ ready/],
])('a front whose owner is killed %s ends by itself at once', async (_, until) => {
  await access(FRONT);
  const dir = await tempDir();
  const begin: OwnerMessage = {
    kind: 'begin',
    version: packageVersion(),
    ownerPath: join(dir, 'owner.sock'),
    token: 'token',
    listeners: [{ path: join(dir, 'front.sock') }],
  };
  const owner = spawn(process.execPath, ['-e', OWNER, FRONT, JSON.stringify(begin)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  onTestFinished(() => void owner.kill('SIGKILL'));
  let said = '';
  owner.stdout.setEncoding('utf8').on('data', (text: string) => (said += text));
  await expect.poll(() => said, { timeout: 10_000, interval: 5 }).toMatch(until);
  const pid = Number.parseInt(said, 10);
  onTestFinished(() => void (runs(pid) && process.kill(pid, 'SIGKILL')));
  expect(runs(pid)).toBe(true);
  owner.kill('SIGKILL');
  // On an idle machine it takes 0.3 s to load them, and a few milliseconds otherwise.
  await expect.poll(() => runs(pid), { timeout: 4_000 }).toBe(false);
});
