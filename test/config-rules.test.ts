import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { GENERIC } from '../src/config-profiles.ts';
import { ConfigError, loadConfig, printProblem, type UpstreamConfig } from '../src/config.ts';
import { tempDir } from './support/temp-dir.ts';

/** The only upstream of a file that says `text` of it. */
async function upstreamFrom(name: string, text: string): Promise<UpstreamConfig | undefined> {
  const dir = await tempDir();
  await writeFile(join(dir, 'entrepot.yaml'), `upstreams: { ${name}: ${text} }`);
  return loadConfig({ environment: {}, file: 'entrepot.yaml', workingDir: dir }).upstreams[0];
}

async function problemsOf(text: string): Promise<readonly string[]> {
  try {
    await upstreamFrom('x.example', text);
  } catch (error) {
    if (error instanceof ConfigError) return error.problems.map((problem) => printProblem(problem));
    throw error;
  }
  return [];
}

test('a mirror may be a URL alone, or have settings of its own', async () => {
  const upstream = await upstreamFrom(
    'x.example',
    '{ mirrors: [https://one/, { url: "http://two:5000/x" }] }',
  );
  expect(upstream?.mirrors).toEqual([
    { url: 'https://one', trustedHosts: [], profile: GENERIC },
    { url: 'http://two:5000/x', trustedHosts: [], profile: GENERIC },
  ]);
});

test('a mirror has the profile of its host, or the one that is chosen, and its pace', async () => {
  const upstream = await upstreamFrom(
    'x.example',
    '{ mirrors: [https://public.ecr.aws, { url: https://harbor.internal, profile: harbor }] }',
  );
  expect(upstream?.mirrors?.map(({ profile, limits }) => [profile.name, limits])).toEqual([
    ['ecr-public', { pullsPerSecond: 1 }],
    ['harbor', undefined],
  ]);
});

test('on docker.io a pattern of one component is short for library/', async () => {
  const upstream = await upstreamFrom(
    'docker.io',
    '{ allow: [nginx, "*", "**", a/b], deny: [redis], repositories: { alpine: {}, "**": {} } }',
  );
  expect(upstream?.allow?.map(({ text }) => text)).toEqual(['library/nginx', 'library/*', '**', 'a/b']);
  expect(upstream?.deny?.map(({ text }) => text)).toEqual(['library/redis']);
  expect(upstream?.repositories?.map(({ pattern }) => pattern.text)).toEqual(['library/alpine', '**']);
  expect((await upstreamFrom('x.example', '{ allow: [nginx] }'))?.allow?.[0]?.text).toBe('nginx');
});

test.each([
  ['{ mirrors: [ftp://x] }', /mirrors\.0.*accepted is http\(s\):/],
  ['{ mirrors: [https://user:canary-pw@x] }', /mirrors\.0.*accepted is http\(s\):/],
  ['{ mirrors: [{ auth: { username: a, password: b } }] }', /mirrors\.0/],
  ['{ mirrors: [https://a, https://a/] }', /mirrors\.1.*is listed twice/],
  ['{ mirrors: [{ url: http://a, tls: { insecure: true } }] }', /mirrors\.0\.tls.*no meaning for an http/],
  ['{ allow: [Team/X] }', /allow\.0.*accepted is a repository name/],
  ['{ deny: ["a/***"] }', /deny\.0.*accepted is a repository name/],
  ['{ immutableTags: ["("] }', /immutableTags\.0.*accepted is a list of regular expressions/],
  ['{ stale: { "404": sometimes } }', /stale\.404.*accepted is stale, fail, or a duration/],
  ['{ stale: { "500": stale } }', /stale\.500.*unknown key/],
  ['{ limits: { connections: 1 } }', /limits\.connections.*whole number from 2 to 120/],
  ['{ limits: { pullReserve: 101% } }', /limits\.pullReserve.*number of pulls such as 20, or a share/],
  ['{ limits: { pullReserve: -1 } }', /limits\.pullReserve.*number of pulls such as 20, or a share/],
  [
    '{ limits: { requestsPerSecond: 0 } }',
    /limits\.requestsPerSecond.*number of requests per second, more than 0/,
  ],
  ['{ repositories: { "a b": {} } }', /repositories\.a b.*is no repository pattern/],
  [
    '{ repositories: { "team/**": { tagTTL: 5m } } }',
    /repositories\.team\/\*\*\.tagTTL.*did you mean.*tagTtl|tagTtl/,
  ],
  ['{ repositories: { "team/**": { auth: { username: a } } } }', /repositories\.team\/\*\*\.auth\.password/],
])('%s is told with its key and what is accepted', async (text, message) => {
  const problems = await problemsOf(text);
  expect(problems).toHaveLength(1);
  expect(problems[0]).toMatch(message);
  expect(problems[0]).not.toContain('canary');
});
