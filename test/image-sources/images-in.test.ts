import { array, assert, constantFrom, oneof, property, string, stringMatching, tuple } from 'fast-check';
import { expect, test } from 'vitest';
import { imagesIn } from '../../src/image-sources/images-in.ts';
import { referenceFault } from '../../src/image-sources/named-image.ts';

const DIGEST = `sha256:${'a'.repeat(64)}`;

test('a list has an image a line, comments, empty lines, and items as in YAML', () => {
  const text = `# What the site needs
nginx:1.27   # the web

  quay.io/coreos/etcd@${DIGEST}
- redis
- "localhost:5000/a/b"
redis 7
https://ghcr.io/a/b
Nginx
nginx: 1.27
nginx@sha256:12
${'b'.repeat(64)}
`;
  const { images, problems } = imagesIn({ name: 'site.txt', text }, { variables: {} });
  expect(images.map(({ text: image, place }) => `${place} ${image}`)).toEqual([
    'site.txt:2 nginx:1.27',
    `site.txt:4 quay.io/coreos/etcd@${DIGEST}`,
    'site.txt:5 redis',
    'site.txt:6 localhost:5000/a/b',
  ]);
  expect(problems.map(({ place, message }) => `${place} ${message}`)).toEqual([
    'site.txt:7 "redis 7": an image has no spaces in it',
    'site.txt:8 "https://ghcr.io/a/b": an image has no https:// before it',
    'site.txt:9 "Nginx": accepted is [host/]repository[:tag][@digest], with a repository in lower case',
    'site.txt:10 "nginx: 1.27": an image has no spaces in it',
    'site.txt:11 "nginx@sha256:12": a digest is sha256: and 64, or sha512: and 128, lower-case hexadecimal digits',
    expect.stringMatching(/^site\.txt:12 .*it is an ID of an image/),
  ]);
});

test.each([
  ['images.yaml', '- nginx:1\n- redis:7\n', ['nginx:1', 'redis:7']],
  ['images.txt', '---\nkind: Pod\napiVersion: v1\nspec: {containers: [{image: nginx}]}\n', ['nginx']],
  ['standard input', 'nginx:1\nlocalhost:5000/x\n', ['nginx:1', 'localhost:5000/x']],
  ['standard input', '\n# Source: x\napiVersion: v1\nkind: Pod\nspec: {containers: [{image: a}]}\n', ['a']],
  ['standard input', 'FROM a\n', ['a']],
  ['standard input', 'services: {a: {image: "x"}}\n', ['x']],
  ['some.list', '\uFEFFnginx:1\r\nredis:7\r\n', ['nginx:1', 'redis:7']],
])('%s is read for what %j is', (name, text, expected) => {
  const { images, problems } = imagesIn({ name, text: text.replace('\uFEFF', '') }, { variables: {} });
  expect({ images: images.map((image) => image.text), problems }).toEqual({ images: expected, problems: [] });
});

test('problems of one file are told up to a number', () => {
  const { problems } = imagesIn({ name: 'x.txt', text: 'A\n'.repeat(1000) }, { variables: {} });
  expect(problems).toHaveLength(101);
  expect(problems.at(-1)).toEqual({ place: 'x.txt', message: 'and 900 more problems' });
});

/** Pieces of all the languages that are read, so that random text gets far. */
const PIECES = [
  '---\n',
  '- ',
  ': ',
  '\n',
  '  ',
  '{',
  '}',
  '[',
  ']',
  '"',
  "'",
  '#',
  '&a ',
  '*a',
  '<<: ',
  '| \n',
  '? ',
  '!x ',
  '\t',
  'apiVersion: v1\n',
  'kind: Pod\n',
  'kind: List\n',
  'items:\n',
  'spec:\n',
  'containers:\n',
  'image: ',
  'nginx:1',
  'services:\n',
  'repository: ',
  'tag: ',
  'registry: ',
  'digest: ',
  DIGEST,
  '${A:-',
  '$$',
  '$B',
  '{{ .Values.x }}',
  'FROM ',
  'ARG A=',
  ' AS x',
  'COPY --from=',
  'RUN --mount=from=',
  '<<EOF',
  '\\\n',
  '# syntax=',
  '\r\n',
  '\0',
  'é',
];
const NAMES = ['x.yaml', 'x.txt', 'Dockerfile', 'compose.yaml', 'values.yaml', 'standard input'];

test('whatever a text is, every image that is found is one, and nothing is thrown', () => {
  const text = array(oneof({ weight: 9, arbitrary: constantFrom(...PIECES) }, string()), {
    maxLength: 40,
  });
  assert(
    property(constantFrom(...NAMES), text, (name, pieces) => {
      const { images, problems } = imagesIn(
        { name, text: pieces.join('') },
        { variables: { A: 'a', B: '' } },
      );
      const lines = pieces.join('').split(/\r\n|\r|\n/).length;
      for (const image of images) {
        expect(referenceFault(image.text)).toBeUndefined();
        const line = Number(image.place.slice(name.length + 1));
        expect(image.place.startsWith(`${name}:`) && line >= 1 && line <= lines).toBe(true);
      }
      for (const { place, message } of problems) {
        expect(place.startsWith(name)).toBe(true);
        expect(message).not.toMatch(/\n|undefined|\[object/);
      }
    }),
    { numRuns: 3000 },
  );
});

test('an image that is named in each of the languages is found in all of them', () => {
  const component = stringMatching(/^[a-z0-9]{1,8}(?:[._-][a-z0-9]{1,4})?$/);
  const name = tuple(
    array(component, { minLength: 1, maxLength: 3 }),
    stringMatching(/^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,10}$/),
  )
    .map(([path, tag]) => `${path.join('/')}:${tag}`)
    .filter((image) => referenceFault(image) === undefined);
  assert(
    property(name, (image) => {
      const files = {
        'x.txt': image,
        'pod.yaml': `kind: Pod\nspec:\n  containers:\n  - image: ${JSON.stringify(image)}\n`,
        'compose.yaml': `services:\n  a:\n    image: ${image}\n`,
        Dockerfile: `FROM x AS stage-of-its-own\nFROM ${image}\n`,
        'values.yaml': `image:\n  repository: "${image.slice(0, image.lastIndexOf(':'))}"\n  tag: "${image.slice(image.lastIndexOf(':') + 1)}"\n`,
      };
      for (const [file, text] of Object.entries(files))
        expect(imagesIn({ name: file, text }, { variables: {} }).images.map((found) => found.text)).toContain(
          image,
        );
    }),
  );
});
