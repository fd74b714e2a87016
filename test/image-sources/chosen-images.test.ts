import { expect, test } from 'vitest';
import { GENERIC } from '../../src/config-profiles.ts';
import { chosenImages } from '../../src/image-sources/chosen-images.ts';

const upstreams = [
  { name: 'docker.io', default: true, profile: { ...GENERIC, hubNames: true } },
  { name: 'quay.io', default: false },
];

test('an image is chosen once however it is named, with the places, and what is at no upstream is a problem', () => {
  const digest = `sha256:${'a'.repeat(64)}`;
  const named = [
    'nginx',
    'docker.io/library/nginx',
    'nginx:latest',
    `quay.io/a/b:v1@${digest}`,
    'ghcr.io/a/b',
    'Nginx',
    'a:-b',
  ];
  const { images, problems } = chosenImages(
    named.map((text, at) => ({ text, place: `x:${at + 1}` })),
    upstreams,
  );
  expect(images).toEqual([
    { upstream: 'docker.io', repository: 'library/nginx', places: ['x:1', 'x:2'] },
    { upstream: 'docker.io', repository: 'library/nginx', tag: 'latest', places: ['x:3'] },
    { upstream: 'quay.io', repository: 'a/b', tag: 'v1', digest, places: ['x:4'] },
  ]);
  expect(problems).toEqual([
    { place: 'x:5', message: 'ghcr.io/a/b: ghcr.io is not an upstream; there are docker.io, quay.io' },
    { place: 'x:6', message: expect.stringContaining('accepted is [upstream/]repository') },
    { place: 'x:7', message: expect.stringContaining('a tag is a letter') },
  ]);
});
