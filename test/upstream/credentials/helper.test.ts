import { chmod, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import { isHelperOnPath } from '../../../src/upstream/credentials/helper-program.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { failure } from '../upstream-under-test.ts';
import { installHelper, setVariable, sourceOf } from './credentials-under-test.ts';

const CANARY = 'canary-helper-secret';

/** Answers with a user and a secret, and writes down each call. */
async function counting(name: string, user = 'robot'): Promise<() => Promise<readonly string[]>> {
  const log = join(await tempDir(), 'calls');
  await writeFile(log, '');
  await installHelper(
    name,
    `server=$(cat); echo "$1 $server" >> ${log}; n=$(wc -l < ${log})
     printf '{"ServerURL":"%s","Username":"${user}","Secret":"${CANARY}-%s"}' "$server" "$n"`,
  );
  return async () => (await readFile(log, 'utf8')).trim().split('\n').filter(Boolean);
}

describe('a credential helper', () => {
  it('is asked for the registry on standard input, once however many ask', async () => {
    const calls = await counting('count');
    const source = sourceOf({ helper: 'count' });
    const given = await Promise.all(Array.from({ length: 10 }, () => source.get()));
    expect(new Set(given).size).toBe(1);
    expect(given[0]).toEqual({ kind: 'basic', username: 'robot', password: `${CANARY}-1` });
    expect(await calls()).toEqual(['get r.example']);
  });

  it('is asked for Docker Hub by the name that docker stores it under', async () => {
    const calls = await counting('hub');
    await sourceOf({ helper: 'hub' }, { base: new URL('https://registry-1.docker.io') }).get();
    expect(await calls()).toEqual(['get https://index.docker.io/v1/']);
  });

  it('gives an identity token under the user <token>', async () => {
    await counting('token', '<token>');
    expect(await sourceOf({ helper: 'token' }).get()).toEqual({
      kind: 'identity-token',
      token: `${CANARY}-1`,
    });
  });

  it('is believed for five minutes, asked beside before they are over, and again after a refusal', async () => {
    const clock = new FakeClock();
    const calls = await counting('life');
    const source = sourceOf({ helper: 'life' }, { clock });
    await source.get();
    await clock.advance(3 * 60_000);
    const first = await source.get();
    expect(await calls()).toHaveLength(1);
    await clock.advance(70_000);
    expect(await source.get()).toBe(first);
    await expect.poll(calls).toHaveLength(2);
    await expect.poll(() => source.get()).not.toBe(first);
    const second = await source.get();
    if (second === undefined) throw new Error('nothing');
    source.refused(second);
    expect(await source.get()).toBe(second);
    await clock.advance(11_000);
    source.refused(second);
    expect(await source.get()).not.toBe(second);
    expect(await calls()).toHaveLength(3);
  });

  it.each([
    ['prints garbage', `echo ${CANARY}`, 'did not answer with a Username and a Secret'],
    ['answers half', `echo '{"Username":"${CANARY}"}'`, 'did not answer with a Username'],
    ['exits non-zero', `echo ${CANARY}; echo ${CANARY} >&2; exit 3`, 'exited with code 3'],
    ['names a known error', 'echo "no credentials server URL"; exit 1', 'code 1: no credentials server URL'],
    ['has nothing', 'echo "credentials not found in native keychain"; exit 1', 'has nothing for r.example'],
    ['never stops talking', `yes ${CANARY}`, 'said more than 65536 bytes'],
    ['dies', 'kill -9 $$', 'was killed'],
  ])('that %s is one clear error without what it said', async (_what, script, message) => {
    await installHelper('bad', script);
    const error = await failure(sourceOf({ helper: 'bad' }).get());
    expect(error).toMatchObject({ reason: 'unavailable', isFinal: true });
    expect(error.message).toContain(
      'no credentials for r.example: upstreams.r.example.auth.helper names docker-',
    );
    expect(error.message).toContain(message);
    expect(inspect(error, { depth: 10, showHidden: true })).not.toContain(CANARY);
  });

  it('that is missing is said to be', async () => {
    setVariable('PATH', '/nowhere');
    expect((await failure(sourceOf({ helper: 'absent' }).get())).message).toContain('is not on the PATH');
  });

  it('that hangs is ended with its children, and not begun again at once', async () => {
    const clock = new FakeClock();
    const pids = join(await tempDir(), 'pids');
    await installHelper('hang', `sleep 600 & echo $! >> ${pids}; echo $$ >> ${pids}; wait`);
    const source = sourceOf({ helper: 'hang' }, { clock });
    const asked = failure(source.get());
    await expect.poll(async () => (await readFile(pids, 'utf8').catch(() => '')).split('\n').length).toBe(3);
    await clock.advance(10_001);
    expect((await asked).message).toContain('did not answer within 10 s');
    expect((await failure(source.get())).message).toContain('did not answer within 10 s');
    const numbers = (await readFile(pids, 'utf8')).trim().split('\n');
    expect(numbers).toHaveLength(2);
    for (const pid of numbers) await expect.poll(() => isAlive(pid)).toBe(false);
  });

  it('outlives a caller that leaves, for the others', async () => {
    const calls = await counting('shared');
    const source = sourceOf({ helper: 'shared' });
    const leaver = new AbortController();
    const left = failure(source.credential('a', leaver.signal));
    const stayed = source.get();
    leaver.abort(new Error('left'));
    expect((await left).message).toBe('left');
    expect(await stayed).toMatchObject({ kind: 'basic' });
    expect(await calls()).toHaveLength(1);
  });

  it('is ended when the source is closed', async () => {
    const pids = join(await tempDir(), 'pids');
    await installHelper('slow', `echo $$ >> ${pids}; exec sleep 600`);
    const source = sourceOf({ helper: 'slow' });
    const asked = failure(source.get());
    await expect.poll(async () => readFile(pids, 'utf8').catch(() => '')).not.toBe('');
    source.close();
    expect((await asked).reason).toBe('unavailable');
    const pid = (await readFile(pids, 'utf8')).trim();
    await expect.poll(() => isAlive(pid)).toBe(false);
    await delay(0);
  });
});

/** A zombie that nobody has waited for yet counts as dead. */
async function isAlive(pid: string): Promise<boolean> {
  const status = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  return status !== '' && !/\) Z /.test(status);
}

it('is found on the PATH when it is a program there', async () => {
  const directory = await installHelper('found', 'exit 0');
  const path = `/nowhere:${directory}`;
  expect(await isHelperOnPath('found', path)).toBe(true);
  expect(await isHelperOnPath('other', path)).toBe(false);
  await chmod(join(directory, 'docker-credential-found'), 0o644);
  expect(await isHelperOnPath('found', path)).toBe(false);
});
