import { describe, expect, test } from 'vitest';
import {
  bundleName,
  type ForeignName,
  imageName,
  namelessImage,
  type NamingOptions,
  namingProblem,
  printImageName,
} from '../../src/bundle/image-names.ts';
import { parseRepositoryName } from '../../src/oci/reference.ts';

const HUB = { name: 'docker.io', default: true, profile: { hubNames: true } };
const QUAY = { name: 'quay.io', default: false };
const LOCAL = { name: 'registry.internal:5000', default: false };
const upstreams = [HUB, QUAY, LOCAL];

function called(name: ForeignName, options: Partial<NamingOptions> = {}): string {
  const found = imageName(name, { upstreams, ...options });
  return 'problem' in found ? `! ${found.problem}` : printImageName(found);
}

describe('a name of an archive', () => {
  test.each<[ForeignName['kind'], string, string]>([
    ['full', 'docker.io/library/nginx:1.27', 'docker.io/library/nginx:1.27'],
    ['full', 'docker.io/nginx:1.27', 'docker.io/library/nginx:1.27'],
    ['full', 'index.docker.io/library/nginx:1.27', 'docker.io/library/nginx:1.27'],
    ['full', 'registry.internal:5000/team/app:v1', 'registry.internal:5000/team/app:v1'],
    ['full', 'quay.io/org/app', 'quay.io/org/app'],
    ['full', 'quay.io/org/app:v1@sha256:abc', 'quay.io/org/app:v1'],
    ['docker', 'nginx:1.27', 'docker.io/library/nginx:1.27'],
    ['docker', 'org/app:v1', 'docker.io/org/app:v1'],
    ['docker', 'quay.io/org/app:v1', 'quay.io/org/app:v1'],
    ['reference', 'quay.io/org/app:v1', 'quay.io/org/app:v1'],
  ])('of kind %s, %s, is %s here', (kind, text, expected) => {
    expect(called({ kind, text })).toBe(expected);
  });

  test.each<[ForeignName['kind'], string, RegExp]>([
    [
      'full',
      'org/app:v1',
      /^! org\/app:v1: has no host: say where it belongs with --upstream NAME or --as IMAGE/,
    ],
    [
      'docker',
      'localhost/app:v1',
      /^! localhost\/app:v1: localhost is no upstream of the configuration: add it there, or say/,
    ],
    [
      'docker',
      'ghcr.io/org/app:v1',
      /ghcr\.io is no upstream .*\(upstreams are docker\.io, quay\.io, registry\.internal:5000\)$/,
    ],
    ['reference', 'v1', /^! it is called v1 alone, without a repository: give it with --as IMAGE$/],
    ['full', 'Not A Name', /is no name of an image$/],
    ['full', 'quay.io/../x:v1', /is no name of an image$/],
  ])('of kind %s, %s, says what to do', (kind, text, sentence) => {
    expect(called({ kind, text })).toMatch(sentence);
  });

  test('goes to --upstream where its host is none, and to its own where it is one', () => {
    const upstream = 'quay.io';
    expect(called({ kind: 'full', text: 'ghcr.io/org/app:v1' }, { upstream })).toBe('quay.io/org/app:v1');
    expect(called({ kind: 'full', text: 'org/app:v1' }, { upstream })).toBe('quay.io/org/app:v1');
    expect(called({ kind: 'full', text: 'docker.io/library/app:v1' }, { upstream })).toBe(
      'docker.io/library/app:v1',
    );
  });

  test('gives way to --as, but for a tag that --as has not', () => {
    expect(called({ kind: 'full', text: 'x.y/z:v1' }, { as: 'app' })).toBe('docker.io/library/app:v1');
    expect(called({ kind: 'reference', text: 'v1' }, { as: 'quay.io/org/app' })).toBe('quay.io/org/app:v1');
    expect(called({ kind: 'full', text: 'x.y/z:v1' }, { as: 'quay.io/org/app:v2' })).toBe(
      'quay.io/org/app:v2',
    );
    const nameless = namelessImage({ upstreams, as: 'quay.io/org/app:v2' });
    expect('problem' in nameless ? nameless : printImageName(nameless)).toBe('quay.io/org/app:v2');
    expect(namelessImage({ upstreams })).toEqual({ problem: 'it has no name: give it one with --as IMAGE' });
  });

  test('of a bundle keeps its upstream where it is one', () => {
    const image = { upstream: 'registry.internal:5000', repository: parseRepositoryName('team/app') };
    expect(bundleName(image, { upstreams })).toMatchObject({ upstream: 'registry.internal:5000' });
    expect(bundleName(image, { upstreams: [HUB] })).toHaveProperty('problem');
    expect(bundleName(image, { upstreams: [HUB], upstream: 'docker.io' })).toMatchObject({
      upstream: 'docker.io',
      repository: 'team/app',
    });
  });
});

test('what the user gave wrong is said before anything is read', () => {
  expect(namingProblem({ upstreams, upstream: 'quay' })).toMatch(/^--upstream quay: not configured/);
  expect(namingProblem({ upstreams, as: 'ghcr.io/x/y' })).toMatch(
    /^--as ghcr\.io\/x\/y: ghcr\.io is not an upstream/,
  );
  expect(namingProblem({ upstreams, as: 'Not a name' })).toMatch(/^--as Not a name: /);
  expect(namingProblem({ upstreams, as: 'app:v1', upstream: 'quay.io' })).toBeUndefined();
});
