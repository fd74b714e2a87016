import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type ConfigProblem, ConfigError, loadConfig, type UpstreamConfig } from '../src/config.ts';
import { GENERIC, KNOWN_REGISTRIES, PROFILE_NAMES } from '../src/config-profiles.ts';
import { knownRegistry, profileFor } from '../src/config-profile.ts';
import { tempDir } from './support/temp-dir.ts';

async function upstreams(yaml: string): Promise<readonly UpstreamConfig[]> {
  const workingDir = await tempDir();
  await writeFile(join(workingDir, 'entrepot.yaml'), `upstreams:\n${yaml}`);
  return loadConfig({ file: 'entrepot.yaml', environment: { RATE: '7' }, workingDir }).upstreams;
}

async function problems(yaml: string): Promise<readonly ConfigProblem[]> {
  try {
    await upstreams(yaml);
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  return [];
}

describe('the table of known registries', () => {
  it.each([
    ['docker.io', 'docker-hub'],
    ['registry-1.docker.io', 'docker-hub'],
    ['registry-1.docker.io:443', 'docker-hub'],
    ['mirror.gcr.io', 'mirror-gcr-io'],
    ['quay.io', 'quay'],
    ['ghcr.io', 'ghcr'],
    ['123456789012.dkr.ecr.eu-central-1.amazonaws.com', 'ecr'],
    ['123456789012.dkr.ecr-fips.us-east-1.amazonaws.com', 'ecr'],
    ['123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn', 'ecr'],
    ['123456789012.dkr-ecr.eu-west-1.on.aws', 'ecr'],
    ['public.ecr.aws', 'ecr-public'],
    ['team.azurecr.io', 'acr'],
    ['gcr.io', 'google'],
    ['eu.gcr.io', 'google'],
    ['europe-west3-docker.pkg.dev', 'google'],
    ['registry.gitlab.com', 'gitlab'],
    ['acme.jfrog.io', 'artifactory'],
    ['mcr.microsoft.com', 'mcr'],
    ['registry.k8s.io', 'kubernetes'],
    ['NVCR.io', 'nvidia'],
    ['registry.redhat.io', 'red-hat'],
    ['registry.access.redhat.com', 'red-hat'],
  ])('knows %s as %s', (host, name) => {
    expect(knownRegistry(host)?.name).toBe(name);
  });

  it.each([
    'docker.io.evil.example',
    'evil-docker.io',
    'notquay.io',
    'ghcr.io.example',
    'azurecr.io.example',
    'amazonaws.com',
    'harbor.example.com',
    'localhost:5000',
    '127.0.0.1:5000',
  ])('knows nothing of %s', (host) => {
    expect(knownRegistry(host)).toBeUndefined();
    expect(profileFor({ name: 'x', url: `https://${host}` })).toEqual(GENERIC);
  });

  it('names each profile once and says where each is documented', () => {
    expect(new Set(PROFILE_NAMES).size).toBe(KNOWN_REGISTRIES.length);
    for (const { source } of KNOWN_REGISTRIES) expect(source).not.toBe('');
  });
});

describe('the profile of an upstream', () => {
  it('is that of the host it is asked at, whatever it is called', async () => {
    const [hub, quay] = await upstreams(`
  hub: { url: https://registry-1.docker.io }
  quay.io: { url: https://harbor.example.com }
`);
    expect(hub?.profile).toMatchObject({ name: 'docker-hub', hubNames: true });
    expect(quay?.profile?.name).toBe('generic');
  });

  it('has the names of Docker Hub for docker.io wherever that is asked', async () => {
    const [upstream] = await upstreams(`
  docker.io: { url: http://mirror.internal:5000, profile: distribution }
`);
    expect(upstream?.profile).toMatchObject({ name: 'distribution', hubNames: true, referrers: false });
  });

  it('is what the configuration chooses, with the changes that it makes', async () => {
    const [short, long, changed] = await upstreams(`
  a.example: { profile: harbor }
  b.example: { profile: { base: kubernetes, referrers: true, pullsPerSecond: '\${RATE}' } }
  ghcr.io: { profile: { referrers: true, tokenHosts: [Auth.Example.com] } }
`);
    expect(short?.profile).toEqual({ ...GENERIC, name: 'harbor', headBlobs: false });
    expect(long?.profile).toMatchObject({ name: 'kubernetes', referrers: true, tagsPerPage: 0 });
    expect(long?.limits?.pullsPerSecond).toBe(7);
    expect(changed?.profile).toMatchObject({
      name: 'ghcr',
      referrers: true,
      hidesMissing: true,
      tokenHosts: ['auth.example.com'],
    });
  });

  it('limits the pace by what the registry allows with and without credentials', async () => {
    const [anonymous, other] = await upstreams('  public.ecr.aws:\n  quay.io:\n');
    expect([anonymous?.limits?.pullsPerSecond, other?.limits]).toEqual([1, undefined]);
    const [known] = await upstreams('  public.ecr.aws: { auth: { username: AWS, password: p } }\n');
    expect(known?.limits?.pullsPerSecond).toBe(10);
  });

  it('that is not known, and a fact that is not one, are each one error with the nearest known', async () => {
    const found = await problems(`
  a.example: { profile: harbro }
  b.example: { profile: { bsae: harbor, headBlob: false } }
  c.example: { profile: { referrers: perhaps, tagsPerPage: -1, pullsPerSecond: 0 } }
  d.example: { profile: [harbor] }
  e.example: { profile: { base: 3 } }
`);
    expect(Object.fromEntries(found.map(({ path, message }) => [path, message]))).toEqual({
      'upstreams.a.example.profile.base': expect.stringMatching(
        /^accepted is one of .*did you mean harbor\?$/,
      ),
      'upstreams.b.example.profile.bsae': 'unknown key; did you mean base?',
      'upstreams.b.example.profile.headBlob': 'unknown key; did you mean headBlobs?',
      'upstreams.c.example.profile.referrers': 'accepted is true or false',
      'upstreams.c.example.profile.tagsPerPage': 'accepted is a whole number from 0 to 10000',
      'upstreams.c.example.profile.pullsPerSecond': expect.stringMatching(/more than 0/),
      'upstreams.d.example.profile': expect.stringMatching(/mapping/),
      'upstreams.e.example.profile.base': expect.stringMatching(/^accepted is one of generic, docker-hub/),
    });
  });
});

it('the user name that goes with a registry’s kind of password is told to who leaves it out', async () => {
  const found = await problems(`
  nvcr.io: { auth: { password: canary-key } }
  quay.io: { auth: { password: canary-key } }
`);
  expect(found.map(({ path, message }) => [path, message])).toEqual([
    [
      'upstreams.nvcr.io.auth.username',
      'is missing; username or usernameFile gives it; at nvcr.io it is usually $oauthtoken',
    ],
    ['upstreams.quay.io.auth.username', 'is missing; username or usernameFile gives it'],
  ]);
});

it('what the README says to write for each registry is a configuration', async () => {
  const readme = await readFile(new URL('../README.md', import.meta.url), 'utf8');
  const table = /## Your registry → what to configure\n([\s\S]*?)\n## /.exec(readme)?.[1] ?? '';
  const rows = table.split('\n').filter((line) => line.startsWith('| '));
  expect(rows.length).toBeGreaterThan(KNOWN_REGISTRIES.length);
  const written = rows.flatMap((row) =>
    [...row.matchAll(/`([a-z0-9.-]+: \{[^`]*\})`/g)].map(([, text = '']) => text),
  );
  expect(written.length).toBeGreaterThanOrEqual(rows.length - 4);
  for (const text of written) {
    const whole = text
      .replaceAll('\\|', '|')
      .replaceAll('auth: …', 'auth: { username: me, password: secret }')
      .replaceAll('passwordFile: …', 'password: secret');
    expect(await problems(`  ${whole}\n`), text).toEqual([]);
  }
  const named = new Set(written.flatMap(profilesIn));
  const missing = PROFILE_NAMES.filter(
    (name) => !named.has(name) && !['generic', 'mirror-gcr-io'].includes(name),
  );
  expect(missing).toEqual([]);
});

/** The profiles of what a row of the README configures. */
function profilesIn(text: string): readonly string[] {
  const names = [...text.matchAll(/^([a-z0-9.-]+):/g)].map(([, name = '']) => name);
  const chosen = /profile: ([a-z-]+)/.exec(text)?.[1];
  return chosen === undefined ? names.map((name) => knownRegistry(name)?.name ?? '') : [chosen];
}
