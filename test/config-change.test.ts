import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { canReload, configChange, RELOADABLE_KEYS, RESTART_KEYS } from '../src/config-change.ts';
import { knownKeys } from '../src/config-schema.ts';
import { type LoadedConfig, readConfig } from '../src/config.ts';
import { makeCertificate, ROOT } from './support/loaded-config.ts';
import { tempDir } from './support/temp-dir.ts';

type Settings = Readonly<Record<string, unknown>>;

async function read(settings: Settings, dir?: string): Promise<LoadedConfig> {
  const workingDir = dir ?? (await tempDir());
  await writeFile(join(workingDir, 'config.yaml'), JSON.stringify(settings));
  return readConfig({ file: 'config.yaml', environment: {}, workingDir });
}

async function changeOf(before: Settings, after: Settings) {
  const dir = await tempDir();
  return configChange(await read(before, dir), await read(after, dir));
}

function isNamed(key: string): boolean {
  return RESTART_KEYS.includes(key) || canReload(key);
}

function isKnown(key: string): boolean {
  const path = key.split('.');
  return knownKeys(path.slice(0, -1)).includes(path.at(-1) ?? '');
}

test('every key of the configuration either holds after a reload or is named as one that needs a restart', () => {
  const unnamed = knownKeys([]).filter(
    (key) => !isNamed(key) && !knownKeys([key]).every((inner) => isNamed(`${key}.${inner}`)),
  );
  expect(unnamed).toEqual([]);
  expect([...RESTART_KEYS, ...RELOADABLE_KEYS].filter((key) => !isKnown(key))).toEqual([]);
});

test('the keys that need a restart are those that the README and the example file name', async () => {
  const readme = await readFile(join(ROOT, 'README.md'), 'utf8');
  const [, list = ''] = /These need a restart: ([^(.]*)/.exec(readme) ?? [];
  expect(Array.from(list.matchAll(/`([^`]+)`/g), ([, key]) => key)).toEqual(RESTART_KEYS);
  const example = (await readFile(join(ROOT, 'config.example.yaml'), 'utf8')).replaceAll(/\s+#? */g, ' ');
  const sentence = `but for ${RESTART_KEYS.slice(0, -1).join(', ')} and ${RESTART_KEYS.at(-1)}, which need a restart`;
  expect(example).toContain(sentence);
});

test('what is the same in other words is no change', async () => {
  const upstreams = { 'quay.io': { allow: ['team/**'], immutableTags: ['v.*'], tagTtl: '60s', tls: {} } };
  const before = { cache: { maxSize: '1GiB', scrub: { every: '1d' } }, upstreams };
  const after = {
    cache: { maxSize: 1024 ** 3, scrub: { every: '24h' } },
    upstreams: { 'quay.io': { ...upstreams['quay.io'], tagTtl: '1m', deny: [] } },
  };
  expect(await changeOf(before, after)).toEqual({ keys: [], needRestart: [] });
});

test.each([
  [{ cache: { scrub: { rate: '1MiB' } } }, ['cache.scrub.rate']],
  [{ cache: { maxSize: '5%', pins: ['nginx'] } }, ['cache.maxSize', 'cache.pins']],
  [{ upstreams: { 'quay.io': {} } }, ['upstreams.docker.io']],
  [{ upstreams: { 'docker.io': {}, 'quay.io': {}, 'x.example': {} } }, ['upstreams.x.example']],
  [
    { upstreams: { 'docker.io': { auth: { username: 'me', password: 'canary' } }, 'quay.io': {} } },
    ['upstreams.docker.io.auth'],
  ],
  [
    { upstreams: { 'docker.io': { immutableTags: ['v.*'] }, 'quay.io': { deny: ['a/*'] } } },
    ['upstreams.docker.io.immutableTags', 'upstreams.quay.io.deny'],
  ],
  [{ warm: [{ name: 'site', cron: '@daily', images: ['nginx'] }] }, ['warm.site']],
  [{ proxy: 'http://proxy.example:3128' }, ['proxy']],
  [{ log: { level: 'debug' }, offline: true }, ['offline', 'log.level']],
])('of %j the keys are told in full', async (after, keys) => {
  const before = { upstreams: { 'docker.io': {}, 'quay.io': {} } };
  expect(await changeOf(before, { ...before, ...after })).toEqual({ keys, needRestart: [] });
});

test('of schedules only those that are other are told', async () => {
  const one = { name: 'one', cron: '@daily', images: ['nginx'] };
  const two = { name: 'two', cron: '@daily', images: ['nginx'] };
  const { keys } = await changeOf({ warm: [one] }, { warm: [{ ...two, tags: 'v.*' }, one] });
  expect(keys).toEqual(['warm.two']);
});

test('what stands in files counts, too', async () => {
  const dir = await tempDir();
  const file = join(dir, 'secret');
  await writeFile(file, 'canary-1');
  const settings = {
    admin: { tokenFile: file },
    upstreams: { 'quay.io': { proxy: { url: 'http://p:1', username: 'me', passwordFile: file } } },
  };
  const before = await read(settings, dir);
  await writeFile(file, 'canary-2');
  expect(configChange(before, await read(settings, dir))).toEqual({
    keys: ['admin.token', 'upstreams.quay.io'],
    needRestart: ['admin.token'],
  });
});

test('certificate files of a listener may be others, but not whether it speaks TLS, nor where', async () => {
  const dir = await tempDir();
  const { cert, key } = makeCertificate(dir);
  const tls = { cert, key };
  const before = { listen: '127.0.0.1:5443', tls, admin: { tls: true } };
  const files = { ...before, tls: { ...tls, minVersion: 'TLSv1.3' } };
  expect(await changeOf(before, files)).toEqual({ keys: ['tls'], needRestart: [] });
  const own = { ...before, listen: [{ address: '127.0.0.1:5443', tls: { ...tls, minVersion: 'TLSv1.3' } }] };
  expect(await changeOf(before, own)).toEqual({ keys: ['listen'], needRestart: [] });
  expect(await changeOf(before, { ...before, listen: '127.0.0.1:5444' })).toEqual({
    keys: ['listen'],
    needRestart: ['listen'],
  });
  expect((await changeOf(before, { ...before, admin: {} })).needRestart).toEqual(['admin.tls']);
  const { needRestart } = await changeOf(before, { listen: '127.0.0.1:5443' });
  expect(needRestart.toSorted()).toEqual(['admin.tls', 'tls']);
});
