import { expect, test } from 'vitest';
import {
  parseImageName,
  parseImageReference,
  printImageName,
  referenceOf,
} from '../../src/oci/image-reference.ts';
import { GENERIC } from '../../src/config-profiles.ts';

const digest = `sha256:${'a'.repeat(64)}`;
const upstreams = [
  {
    name: 'docker.io',
    default: true,
    prefixes: ['docker.io', 'index.docker.io', 'hub'],
    profile: { ...GENERIC, hubNames: true },
  },
  { name: 'quay.io', default: false },
  { name: 'registry.internal:5000', default: false },
  { name: 'internal', default: false },
];

test.each([
  ['nginx', 'docker.io', 'library/nginx', { tag: 'latest' }],
  ['nginx:1.27', 'docker.io', 'library/nginx', { tag: '1.27' }],
  ['team/app', 'docker.io', 'team/app', { tag: 'latest' }],
  ['docker.io/nginx', 'docker.io', 'library/nginx', { tag: 'latest' }],
  ['index.docker.io/nginx:1', 'docker.io', 'library/nginx', { tag: '1' }],
  ['hub/nginx:1', 'docker.io', 'hub/nginx', { tag: '1' }],
  ['quay.io/coreos/etcd:v3.5', 'quay.io', 'coreos/etcd', { tag: 'v3.5' }],
  ['quay.io/etcd', 'quay.io', 'etcd', { tag: 'latest' }],
  ['registry.internal:5000/a/b:c', 'registry.internal:5000', 'a/b', { tag: 'c' }],
  ['internal/app', 'internal', 'app', { tag: 'latest' }],
  [`quay.io/a/b@${digest}`, 'quay.io', 'a/b', { digest }],
  // The digest is what counts.
  [`quay.io/a/b:v1@${digest}`, 'quay.io', 'a/b', { digest }],
])('%s is an image of an upstream', (text, upstream, repository, reference) => {
  expect(parseImageReference(text, upstreams)).toEqual({ upstream, repository, reference });
});

test.each([
  ['ghcr.io/a/b', /ghcr\.io is not an upstream; there are docker\.io, quay\.io/],
  ['localhost/a', /localhost is not an upstream/],
  ['Nginx', /accepted is \[upstream\/\]repository/],
  ['', /accepted is/],
  ['a//b', /accepted is/],
  ['../b', /accepted is|not an upstream/],
])('%j is none', (text, problem) => {
  expect(parseImageReference(text, upstreams)).toEqual({ problem: expect.stringMatching(problem) });
});

test('without a default upstream one has to be named', () => {
  expect(parseImageReference('nginx', [{ name: 'quay.io', default: false }])).toEqual({
    problem: expect.stringContaining('begin with the name of one'),
  });
});

const name = (text: string) => {
  const parsed = parseImageName(text, upstreams);
  return 'problem' in parsed ? parsed : [printImageName(parsed), referenceOf(parsed)];
};

test('a name says what was written, and is printed in full', () => {
  expect(name('nginx')).toEqual(['docker.io/library/nginx', { tag: 'latest' }]);
  expect(name('quay.io/a/b:v1')).toEqual(['quay.io/a/b:v1', { tag: 'v1' }]);
  expect(name(`quay.io/a/b:v1@${digest}`)).toEqual([`quay.io/a/b:v1@${digest}`, { digest }]);
  expect(name('nginx:-x')).toEqual({ problem: expect.stringContaining('a tag is') });
  expect(name('nginx@sha256:12')).toEqual({ problem: expect.stringContaining('a digest is sha256:') });
  expect(name('ghcr.io/a')).toEqual({ problem: expect.stringContaining('ghcr.io is not an upstream') });
});
