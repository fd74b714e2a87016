import { describe, expect, it } from 'vitest';
import {
  matchesRepository,
  matchesTag,
  parseImagePattern,
  storedImagePattern,
  type ImagePattern,
} from '../../src/oci/image-pattern.ts';

const UPSTREAMS = [
  { name: 'docker.io', default: true, profile: { hubNames: true } },
  { name: 'ghcr.io', default: false },
  { name: 'registry.internal:5000', default: false },
];
const HEX = 'a'.repeat(64);

function parsed(text: string): ImagePattern {
  const pattern = parseImagePattern(text, UPSTREAMS);
  if ('problem' in pattern) throw new Error(pattern.problem);
  return pattern;
}

describe('a pattern of images', () => {
  it.each([
    ['nginx', 'docker.io/library/nginx'],
    ['nginx:1.27', 'docker.io/library/nginx:1.27'],
    ['nginx:1.*', 'docker.io/library/nginx:1.*'],
    ['docker.io', 'docker.io/**'],
    ['docker.io/**', 'docker.io/**'],
    ['docker.io/*', 'docker.io/library/*'],
    ['docker.io/library/*', 'docker.io/library/*'],
    ['bitnami/redis', 'docker.io/bitnami/redis'],
    ['ghcr.io/org/app:v1', 'ghcr.io/org/app:v1'],
    ['ghcr.io/app', 'ghcr.io/app'],
    [`ghcr.io/org/app@sha256:${HEX}`, `ghcr.io/org/app@sha256:${HEX}`],
    [`ghcr.io/org/app:v1@sha256:${HEX}`, `ghcr.io/org/app@sha256:${HEX}`],
    ['registry.internal:5000', 'registry.internal:5000/**'],
    ['registry.internal:5000/team/**:v*', 'registry.internal:5000/team/**:v*'],
  ])('%s is in full %s, and reads back', (text, full) => {
    const pattern = parsed(text);
    expect(pattern.text).toBe(full);
    expect(storedImagePattern(full)).toEqual(pattern);
  });

  it.each([
    ['', 'accepted is'],
    ['Nginx', 'accepted is'],
    ['nginx:', 'accepted is'],
    ['nginx:a b', 'accepted is'],
    ['nginx:***', 'accepted is'],
    ['nginx:v1:v2', 'accepted is'],
    ['ghcr.io/', 'accepted is'],
    ['ghcr.io/a//b', 'accepted is'],
    ['ghcr.io/a\n', 'accepted is'],
    ['nginx@sha256:abc', 'a digest is'],
    ['nginx@', 'accepted is'],
    [`nginx@md5:${HEX}`, 'a digest is'],
    ['gchr.io/org/app', 'gchr.io is not an upstream; there are docker.io, ghcr.io'],
    ['localhost/app', 'localhost is not an upstream'],
    [`a/${'b'.repeat(2000)}`, 'accepted is'],
  ])('%j is none', (text, problem) => {
    expect(parseImagePattern(text, UPSTREAMS)).toEqual({ problem: expect.stringContaining(problem) });
  });

  it('without a default upstream has to begin with the name of one', () => {
    expect(parseImagePattern('nginx', [{ name: 'ghcr.io', default: false }])).toHaveProperty('problem');
  });

  it('matches repositories of its upstream, and tags as far as it names any', () => {
    const pattern = parsed('ghcr.io/org/*:v1.*');
    const matches = (upstream: string, repository: string) =>
      matchesRepository(pattern, { upstream, repository });
    expect(matches('ghcr.io', 'org/app')).toBe(true);
    expect(matches('ghcr.io', 'org/app/sub')).toBe(false);
    expect(matches('docker.io', 'org/app')).toBe(false);
    expect(['v1.2', 'v1.', 'v1', 'v12', 'xv1.2'].filter((tag) => matchesTag(pattern, tag))).toEqual([
      'v1.2',
      'v1.',
    ]);
    expect(matchesTag(parsed('nginx'), 'anything')).toBe(true);
  });

  it('that was stored is read whatever upstreams there are, and nothing else is', () => {
    expect(storedImagePattern('gone.example/app:v1')?.upstream).toBe('gone.example');
    for (const text of ['', 'nginx', 'gone.example', '/app', 'a/b/', 'nginx:1']) {
      expect(storedImagePattern(text), text).toBeUndefined();
    }
  });
});
