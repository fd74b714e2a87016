import { execFileSync } from 'node:child_process';
import { chmod, mkdir, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import type { AuthConfig } from '../../../src/config.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { failure } from '../upstream-under-test.ts';
import { aSecond, installHelper, sourceOf } from './credentials-under-test.ts';

const CANARY = 'canary-file-secret';
const auth = (name: string) => ({ auth: Buffer.from(`${name}:${CANARY}`).toString('base64') });
const basic = (username: string) => ({ kind: 'basic', username, password: CANARY });

async function secretFile(text: string): Promise<string> {
  const file = join(await tempDir(), 'secret');
  await writeFile(file, text, { mode: 0o600 });
  return file;
}

describe('a secret in a file', () => {
  it('is read again when it changes, and looked at once a second at most', async () => {
    const clock = new FakeClock();
    const file = await secretFile('one\n');
    const source = sourceOf({ username: 'me', password: { file } }, { clock });
    expect(await source.get()).toEqual({ kind: 'basic', username: 'me', password: 'one' });
    expect(await source.get()).toBe(await source.get());
    await writeFile(file, 'another\r\n');
    expect(await source.get()).toMatchObject({ password: 'one' });
    await aSecond(clock);
    expect(await source.get()).toMatchObject({ password: 'another' });
  });

  it('is found by way of the links that Kubernetes moves', async () => {
    const clock = new FakeClock();
    const directory = await tempDir();
    for (const [name, text] of [
      ['a', 'first'],
      ['b', 'later'],
    ] as const) {
      await mkdir(join(directory, name));
      await writeFile(join(directory, name, 'token'), text);
    }
    await symlink('a', join(directory, 'data'));
    const source = sourceOf({ token: { file: join(directory, 'data', 'token') } }, { clock });
    expect(await source.get()).toEqual({ kind: 'bearer', token: 'first' });
    await symlink('b', join(directory, 'next'));
    await rename(join(directory, 'next'), join(directory, 'data'));
    await aSecond(clock);
    expect(await source.get()).toEqual({ kind: 'bearer', token: 'later' });
  });

  it.each([
    ['is away', async (file: string) => rm(file), 'there is no such file'],
    ['is empty', async (file: string) => writeFile(file, '\n'), 'must not be empty'],
    ['has two lines', async (file: string) => writeFile(file, `${CANARY}\nb`), 'line breaks'],
    ['is too large', async (file: string) => writeFile(file, CANARY.repeat(9999)), 'larger than 65536'],
    [
      'is a directory',
      async (file: string) => {
        await rm(file);
        await mkdir(file);
      },
      'it is a directory',
    ],
    [
      'is a pipe that nobody writes to',
      async (file: string) => {
        await rm(file);
        execFileSync('mkfifo', [file]);
      },
      'it is not a regular file',
    ],
    [
      'is a device without an end',
      async (file: string) => {
        await rm(file);
        await symlink('/dev/zero', file);
      },
      'it is not a regular file',
    ],
  ])('that %s is an error that names the key, until it is right again', async (_what, spoil, message) => {
    const clock = new FakeClock();
    const file = await secretFile(CANARY);
    const source = sourceOf({ identityToken: { file } }, { clock });
    expect(await source.get()).toEqual({ kind: 'identity-token', token: CANARY });
    await spoil(file);
    await aSecond(clock);
    const error = await failure(source.get());
    expect(error).toMatchObject({ reason: 'unavailable', isFinal: true });
    expect(error.message).toContain(
      'no credentials for r.example: upstreams.r.example.auth.identityTokenFile',
    );
    expect(error.message).toContain(message);
    expect(inspect(error, { depth: 10 })).not.toContain(CANARY);
    await rm(file, { recursive: true, force: true });
    await writeFile(file, 'again');
    await aSecond(clock);
    expect(await source.get()).toEqual({ kind: 'identity-token', token: 'again' });
  });

  it('may be a whole JSON key as password, line breaks and all', async () => {
    const file = await secretFile('{\n  "type": "service_account"\n}\n');
    const source = sourceOf({ username: '_json_key', password: { file } });
    expect(await source.get()).toMatchObject({ password: '{\n  "type": "service_account"\n}' });
  });

  it('with several lines that are no JSON key is no password', async () => {
    const source = sourceOf({ username: 'me', password: { file: await secretFile(`${CANARY}\nb\n`) } });
    const { message } = await failure(source.get());
    expect(message).toMatch(/auth\.passwordFile names a file whose content must not hold line breaks/);
    expect(message).not.toContain(CANARY);
  });

  it.each(['passwordFile', 'tokenFile', 'identityTokenFile', 'azure.clientSecretFile', 'google.keyFile'])(
    'that every user can read is warned of once: %s',
    async (key) => {
      const file = await secretFile('{"type": "authorized_user"}');
      const secret = { file: await secretFile(CANARY) };
      await chmod(file, 0o644);
      await chmod(secret.file, 0o644);
      const clock = new FakeClock();
      const kinds: Readonly<Record<string, AuthConfig>> = {
        passwordFile: { username: secret, password: secret },
        tokenFile: { token: secret },
        identityTokenFile: { identityToken: secret },
        'azure.clientSecretFile': { azure: { tenantId: 't', clientId: 'c', clientSecret: secret } },
        'google.keyFile': { google: { keyFile: file } },
      };
      const source = sourceOf(kinds[key] ?? { token: secret }, { clock });
      const warning = `upstreams.r.example.auth.${key}: holds secrets that every user can read`;
      await expect.poll(() => source.warnings).toEqual([warning]);
      if (!key.includes('.')) {
        await writeFile(secret.file, 'another');
        await aSecond(clock);
        await source.get();
      }
      expect(source.warnings).toEqual([warning]);
      expect(source.unusable).toEqual([]);
    },
  );

  it('that is not there is told at once, before anybody asks', async () => {
    const source = sourceOf({ username: 'me', password: { file: '/nowhere/secret' } });
    await expect
      .poll(() => source.unusable)
      .toEqual([
        'upstreams.r.example.auth.passwordFile: no credentials for r.example: upstreams.r.example.auth.passwordFile cannot be read: there is no such file',
      ]);
  });

  it('is no label of metrics, but a user name in the configuration is', async () => {
    const file = await secretFile(CANARY);
    expect(sourceOf({ username: { file }, password: { file } }).account).toBe('username');
    expect(sourceOf({ username: 'me', password: { file } }).account).toBe('me');
    expect(sourceOf({ token: CANARY }).account).toBe('token');
  });
});

describe('a docker configuration file', () => {
  it('is read for each repository, and again when it changes', async () => {
    const clock = new FakeClock();
    const file = await secretFile(JSON.stringify({ auths: { 'r.example': auth('host') } }));
    const source = sourceOf({ dockerConfig: file }, { clock });
    expect(await source.get()).toEqual(basic('host'));
    await writeFile(file, JSON.stringify({ auths: { 'r.example/team': auth('team') } }));
    await aSecond(clock);
    expect(await source.get()).toEqual(basic('team'));
    expect(source.warnings).toEqual([]);
  });

  it('that has nothing for a repository means anonymously, which is said once', async () => {
    const file = await secretFile(JSON.stringify({ auths: { 'other.example': auth('other') } }));
    const source = sourceOf({ dockerConfig: file });
    expect(await source.get()).toBeUndefined();
    expect(await source.get()).toBeUndefined();
    expect(source.warnings).toEqual([
      expect.stringMatching(/^upstreams\.r\.example\.auth\.dockerConfig: has nothing for r\.example/),
    ]);
  });

  it('that every user can read is warned of once, at the start', async () => {
    const file = await secretFile(JSON.stringify({ auths: { 'r.example': auth('me') } }));
    await chmod(file, 0o644);
    const source = sourceOf({ dockerConfig: file });
    await expect
      .poll(() => source.warnings)
      .toEqual(['upstreams.r.example.auth.dockerConfig: holds secrets that every user can read']);
    expect(await source.get()).toEqual(basic('me'));
    expect(source.warnings).toHaveLength(1);
  });

  it.each([
    ['is missing', undefined, 'cannot be read: there is no such file'],
    ['is no JSON', `{"auths": "${CANARY}`, 'is malformed'],
    ['is something else', `{"auths": ["${CANARY}"]}`, 'is malformed'],
  ])('that %s is told at the start and to who asks', async (_what, text, message) => {
    const file = await secretFile(text ?? '');
    if (text === undefined) await rm(file);
    const source = sourceOf({ dockerConfig: file });
    const error = await failure(source.get());
    expect(error.message).toContain('upstreams.r.example.auth.dockerConfig');
    expect(error.message).toContain(message);
    expect(error.message).not.toContain(CANARY);
    expect(source.unusable).toEqual([`upstreams.r.example.auth.dockerConfig: ${error.message}`]);
    expect(source.warnings).toEqual([]);
  });

  it('with one malformed entry is an error for who needs that entry', async () => {
    const auths = { 'r.example/team': { auth: CANARY }, 'r.example': auth('me') };
    const source = sourceOf({ dockerConfig: await secretFile(JSON.stringify({ auths })) });
    expect((await failure(source.get())).message).toMatch(/is malformed at auths\.r\.example\/team$/);
    expect(await source.credential('other/app', new AbortController().signal)).toEqual(basic('me'));
  });

  it('asks its helpers, and then what it holds itself', async () => {
    await installHelper(
      'own',
      `read -r s; case "$s" in r.example/team) echo '{"Username":"helped","Secret":"${CANARY}"}';; *) echo 'credentials not found in native keychain'; exit 1;; esac`,
    );
    const file = {
      auths: { 'r.example': auth('file') },
      credHelpers: { 'r.example/team': 'own' },
      credsStore: 'own',
    };
    const source = sourceOf({ dockerConfig: await secretFile(JSON.stringify(file)) });
    expect(await source.get()).toEqual(basic('helped'));
    expect(await source.credential('other/app', new AbortController().signal)).toEqual(basic('file'));
  });

  it('with a helper that fails names that helper, and does not go on anonymously', async () => {
    await installHelper('broken', `echo ${CANARY}; exit 9`);
    const file = await secretFile(JSON.stringify({ credHelpers: { 'r.example': 'broken' } }));
    const error = await failure(sourceOf({ dockerConfig: file }).get());
    expect(error.message).toMatch(
      /auth\.dockerConfig: its credHelpers\.r\.example names docker-credential-broken, which exited with code 9$/,
    );
  });
});
