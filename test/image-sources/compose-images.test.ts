import { expect, test } from 'vitest';
import { imagesIn } from '../../src/image-sources/images-in.ts';

function found(text: string, variables: Record<string, string> = {}) {
  const { images, problems } = imagesIn({ name: 'compose.yaml', text }, { variables });
  return {
    images: images.map((image) => image.text),
    problems: problems.map(({ place, message }) => `${place} ${message}`),
  };
}

test('services are read with their variables; what is only built or never pulled is passed over', () => {
  const text = `name: shop
x-app: &app
  image: \${REGISTRY:-registry.internal}/shop/app:\${TAG}
services:
  web: {<<: *app, command: web}
  worker:
    <<: *app
    image: $REGISTRY/shop/worker:\${WORKER_TAG-stable}
  db:
    image: postgres:\${PG:?say which}
    profiles: [db]
  built: {build: .}
  both: {build: ., image: registry.internal/shop/both:1}
  local: {build: ., image: "local:1", pull_policy: build}
  odd: {image: 'odd:a$$b'}
  data:
    image: "busybox"
    volumes:
    - {type: image, source: "registry.internal/data:\${TAG}", target: /data}
    - {type: bind, source: /a, target: /b}
volumes: {}
`;
  expect(found(text, { TAG: 'v2', REGISTRY: 'r.example.com', PG: '17' })).toEqual({
    images: [
      'r.example.com/shop/app:v2',
      'r.example.com/shop/worker:stable',
      'postgres:17',
      'registry.internal/shop/both:1',
      'busybox',
      'registry.internal/data:v2',
    ],
    problems: [
      'compose.yaml:15 "odd:a$$b": a tag is a letter, digit or _ and up to 127 more of letters, digits, _ . and -',
    ],
  });
});

test('variables that are not set are named, and what others hold is not told', () => {
  const text =
    'services:\n  a: {image: "app:${TAG}"}\n  b: {image: "${A}${B}"}\n  c: {image: "x:${PG:?needed}"}\n  d: {image: "d${NONE}"}\n  e: {image: "E${SECRET}"}\n';
  expect(found(text, { SECRET: 'hunter2' })).toEqual({
    // As Compose does it.
    images: ['d'],
    problems: [
      'compose.yaml:2 "app:${TAG}": TAG is not set, neither in .env beside the file nor in the environment',
      'compose.yaml:3 "${A}${B}": A and B are not set, neither in .env beside the file nor in the environment',
      'compose.yaml:4 "x:${PG:?needed}": the variable PG has to be set: needed',
      'compose.yaml:5 "E${SECRET}": accepted is [host/]repository[:tag][@digest], with a repository in lower case',
    ].map((line) => line.replace('compose.yaml:5', 'compose.yaml:6')),
  });
});

test('what has services and other keys than those of Compose is read as anything else', () => {
  const text = 'services: {web: {image: {repository: a/b, tag: v1}}}\ningress: {}\n';
  expect(found(text).images).toEqual(['a/b:v1']);
});
