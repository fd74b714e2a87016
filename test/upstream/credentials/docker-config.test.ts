import { describe, expect, it } from 'vitest';
import { entriesFor, parseDockerConfig } from '../../../src/upstream/credentials/docker-config.ts';

const base64 = (text: string) => Buffer.from(text).toString('base64');
const user = (name: string) => ({ auth: base64(`${name}:pass:word`) });

/** What is found for a repository, as user names, tokens and helpers, in the order they are tried. */
function found(file: object, host: string, repository: string): readonly string[] {
  const config = parseDockerConfig(JSON.stringify(file));
  if (config === undefined) throw new Error('malformed');
  return entriesFor(config, host, repository).map((entry) => {
    if (entry.kind === 'helper') return `${entry.helper}(${entry.server})`;
    const { credential } = entry;
    if (credential === undefined) return 'malformed';
    return credential.kind === 'basic' ? credential.username : `${credential.kind}:${credential.token}`;
  });
}

describe('a docker configuration', () => {
  it('has the most specific key win', () => {
    const auths = {
      'quay.io': user('host'),
      'quay.io/team': user('team'),
      'quay.io/team/app': user('app'),
      'quay.io/te': user('no'),
    };
    expect(found({ auths }, 'quay.io', 'team/app')).toEqual(['app', 'team', 'host']);
    expect(found({ auths }, 'quay.io', 'team/app2/x')).toEqual(['team', 'host']);
    expect(found({ auths }, 'quay.io', 'other/app')).toEqual(['host']);
    expect(found({ auths }, 'quay.io.evil.example', 'team/app')).toEqual([]);
    expect(found({ auths }, 'quay.io:5000', 'team/app')).toEqual([]);
  });

  it.each(['https://index.docker.io/v1/', 'index.docker.io', 'docker.io', 'registry-1.docker.io'])(
    'names Docker Hub by %s',
    (key) => {
      expect(found({ auths: { [key]: user('hub') } }, 'registry-1.docker.io', 'library/nginx')).toEqual([
        'hub',
      ]);
    },
  );

  it.each([
    'https://r.example/v1/',
    'http://r.example',
    'https://r.example/v2',
    'r.example/v1/',
    'R.Example/',
  ])('takes the legacy key %s for its host, after the key of today', (key) => {
    const auths = { [key]: user('old') };
    expect(found({ auths }, 'r.example', 'a/b')).toEqual(['old']);
    if (!key.startsWith('http')) return;
    expect(found({ auths: { 'r.example': user('new'), ...auths } }, 'r.example', 'a/b')).toEqual(['new']);
  });

  it.each([
    [{ auth: base64('me:pass:word') }, 'me'],
    [{ auth: base64('me:pass\0\0') }, 'me'],
    [{ username: 'me', password: 'secret' }, 'me'],
    [
      { auth: base64('00000000-0000-0000-0000-000000000000:'), identitytoken: 'refresh' },
      'identity-token:refresh',
    ],
    [{ username: '<token>', password: 'refresh' }, 'identity-token:refresh'],
    [{ auth: base64('<token>:refresh') }, 'identity-token:refresh'],
    [{ registrytoken: 'bearer' }, 'bearer:bearer'],
    [{ auth: '%%%' }, 'malformed'],
    [{ auth: base64('no colon') }, 'malformed'],
    [{ auth: base64('a\nb:c') }, 'malformed'],
    [{ auth: base64('a:b\u0001c') }, 'malformed'],
    [{ auth: base64('_json_key:{\n  "type": "service_account"\n}') }, '_json_key'],
    [{ auth: 5 }, 'malformed'],
    ['text', 'malformed'],
    [{ registrytoken: 'a b' }, 'malformed'],
  ])('reads the entry %j as %s', (entry, expected) => {
    expect(found({ auths: { 'r.example': entry } }, 'r.example', 'a')).toEqual([expected]);
  });

  it('keeps the whole password behind the first colon', () => {
    const config = parseDockerConfig(JSON.stringify({ auths: { r: user('me') } }));
    expect(config?.auths.get('r')).toEqual({ kind: 'basic', username: 'me', password: 'pass:word' });
  });

  it('asks the helper of a key before the store, and the store before the file', () => {
    const file = {
      auths: { 'r.example': user('file'), 'r.example/team': user('team'), 'empty.example': {} },
      credHelpers: { 'r.example': 'own', 'https://index.docker.io/v1/': 'hub' },
      credsStore: 'store',
    };
    expect(found(file, 'r.example', 'team/app')).toEqual([
      'team',
      'own(r.example)',
      'store(r.example)',
      'file',
    ]);
    expect(found(file, 'empty.example', 'team/app')).toEqual(['store(empty.example)']);
    expect(found(file, 'registry-1.docker.io', 'library/a')).toEqual([
      'hub(https://index.docker.io/v1/)',
      'store(https://index.docker.io/v1/)',
    ]);
  });

  it.each([
    '',
    '{',
    '[]',
    'null',
    '{"auths":[]}',
    '{"credsStore":5}',
    '{"credsStore":"../../bin/sh"}',
    '{"credHelpers":{"a":"x; rm"}}',
  ])('is malformed: %s', (text) => {
    expect(parseDockerConfig(text)).toBeUndefined();
  });
});
