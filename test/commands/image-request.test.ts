import { Command } from 'commander';
import { expect, test } from 'vitest';
import { addImageOptions, type ImageOptions } from '../../src/commands/image-options.ts';
import { type ImageRequest, parseImageOptions } from '../../src/commands/image-request.ts';
import { UsageError } from '../../src/commands/usage-error.ts';

const upstreams = [
  { name: 'docker.io', default: true, profile: { hubNames: true } },
  { name: 'quay.io', default: false },
];

function parse(...args: readonly string[]): ImageRequest {
  let request: ImageRequest | undefined;
  const command = addImageOptions(new Command('x').exitOverride());
  command.action((texts: readonly string[], options: ImageOptions) => {
    request = parseImageOptions(texts, options, upstreams);
  });
  command.parse([...args], { from: 'user' });
  if (request === undefined) throw new Error('not run');
  return request;
}

test('arguments and options are read into one request', () => {
  expect(
    parse(
      'nginx:1.27',
      'quay.io/a/b',
      '--from',
      'a.yaml',
      '-',
      '--from',
      'site/',
      '--platform',
      'linux/amd64,linux/arm/v7',
      '--platform',
      'linux/x86_64',
      '--seen-within',
      '30d',
      '--with-referrers',
    ),
  ).toEqual({
    images: [
      { text: 'nginx:1.27', place: 'argument' },
      { text: 'quay.io/a/b', place: 'argument' },
    ],
    from: ['a.yaml', '-', 'site/'],
    platforms: [
      { os: 'linux', architecture: 'amd64' },
      { os: 'linux', architecture: 'arm', variant: 'v7' },
      { os: 'linux', architecture: 'amd64' },
    ],
    seenWithinMs: 30 * 86_400_000,
    withReferrers: true,
  });
  expect(parse('nginx', '--tags', '^1.27').tags?.text).toBe('^1.27');
});

const wrong = () =>
  parse(
    'Nginx',
    'ghcr.io/a/b',
    '--platform',
    'linx/amd64',
    '--tags',
    '[',
    '--seen-within',
    '3 days',
    '--from',
    '-',
    '-',
  );

test('all that is wrong is said at once, with the option, its value and what is accepted', () => {
  expect(wrong).toThrow(UsageError);
  let message = '';
  try {
    wrong();
  } catch (error) {
    message = String(error);
  }
  expect(message.split('\n')).toEqual([
    expect.stringContaining('Nginx: accepted is [upstream/]repository[:tag][@digest]'),
    '  ghcr.io/a/b: ghcr.io is not an upstream; there are docker.io, quay.io',
    expect.stringMatching(/^ {2}--platform "linx\/amd64": accepted is OS\/ARCHITECTURE/),
    expect.stringMatching(/^ {2}--tags "\[": accepted is a range of versions/),
    '  --seen-within "3 days": accepted is a duration such as 12h or 30d',
    '  --from -: standard input can be read only once',
  ]);
});

test('a command without any image asks which', () => {
  expect(() => parse('--with-referrers')).toThrow(
    'which images? Name them, or say --from FILE or --seen-within DURATION',
  );
});
