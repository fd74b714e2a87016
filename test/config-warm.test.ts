import { expect, test } from 'vitest';
import { parseCron } from '../src/config-cron.ts';
import { printProblem } from '../src/config.ts';
import { loadText, problemsOf } from './support/loaded-config.ts';

async function wrongIn(text: string): Promise<readonly string[]> {
  return (await problemsOf(text)).map((problem) => printProblem(problem));
}

test('schedules are read with their images in full and their files absolute', async () => {
  const { warm } = await loadText(`
warm:
  - name: site
    cron: '0 3 * * *'
    timezone: Europe/Berlin
    images: [nginx:1.27, quay.io/coreos/etcd]
    from: [images.txt, /etc/manifests]
    platforms: [linux/amd64, linux/x86_64]
    tags: '^3.5'
    withReferrers: true
    concurrency: 5
  - { name: other, cron: '@daily', images: [redis] }
`);
  expect(warm).toEqual([
    {
      name: 'site',
      cron: '0 3 * * *',
      timezone: 'Europe/Berlin',
      images: [
        { upstream: 'docker.io', repository: 'library/nginx', tag: '1.27' },
        { upstream: 'quay.io', repository: 'coreos/etcd' },
      ],
      from: [expect.stringMatching(/^\/.+\/images\.txt$/), '/etc/manifests'],
      platforms: [
        { os: 'linux', architecture: 'amd64' },
        { os: 'linux', architecture: 'amd64' },
      ],
      tags: '^3.5',
      withReferrers: true,
      concurrency: 5,
    },
    {
      name: 'other',
      cron: '@daily',
      images: [{ upstream: 'docker.io', repository: 'library/redis' }],
      from: [],
      platforms: [],
      withReferrers: false,
    },
  ]);
  expect((await loadText('warm: []')).warm).toBeUndefined();
});

test('what is wrong with a schedule is told with its key and what is accepted', async () => {
  const one = (text: string) => wrongIn(`warm: [{ name: a, cron: '@daily', images: [x], ${text} }]`);
  const accepted = async (text: string) => expect(await one(text));
  (await accepted('tmezone: UTC')).toEqual(['warm.0.tmezone: unknown key; did you mean timezone?']);
  (await accepted('timezone: Nowhere/X')).toEqual([
    'warm.0.timezone: "Nowhere/X": accepted is a name such as Europe/Berlin or UTC',
  ]);
  (await accepted('platforms: [linx/amd64]')).toEqual([
    expect.stringMatching(/^warm\.0\.platforms\.0: "linx\/amd64": accepted is OS\/ARCHITECTURE/),
  ]);
  (await accepted('tags: "["')).toEqual([expect.stringMatching(/^warm\.0\.tags: "\[": accepted is a range/)]);
  (await accepted('concurrency: 33')).toEqual([
    'warm.0.concurrency: 33: accepted is a whole number from 1 to 32',
  ]);
  (await accepted('from: ["-"]')).toEqual(['warm.0.from.0: "-": a server has no standard input']);
  expect(await wrongIn('warm: { name: a }')).toEqual([
    'warm: a mapping: accepted is a list of schedules, each with name, cron, and images or from',
  ]);
  expect(await wrongIn('warm: [{ name: a }]')).toEqual([
    expect.stringMatching(/^warm\.0\.cron: is missing; accepted is minute/),
  ]);
  expect(await wrongIn("warm: [{ name: 'a b', cron: x, images: [x] }]")).toEqual([
    expect.stringMatching(/^warm\.0\.name: "a b": accepted is a name of letters/),
    expect.stringMatching(/^warm\.0\.cron: "x": accepted is minute/),
  ]);
  expect(
    await wrongIn(`warm:
  - { name: a, cron: '@daily' }
  - { name: a, cron: '@daily', images: [ghcr.io/a/b, gchr.io/a/b, 'Nginx'] }
`),
  ).toEqual([
    'warm.0: it names nothing: images or from is needed',
    'warm.1.name: "a": is the name of another schedule already',
    expect.stringMatching(/^warm\.1\.images\.1: "gchr\.io\/a\/b": gchr\.io is not an upstream; there are/),
    'warm.1.images.2: "Nginx": accepted is [upstream/]repository[:tag][@digest]',
  ]);
});

test.each([
  '',
  '* * * *',
  '* * * * * *',
  '61 * * * *',
  '0 0 30 2 *',
  '@reboot',
  '2030-01-01T00:00:00',
  '0 3 * * *'.padEnd(300),
])('%j is nothing that is due again and again', (text) => {
  expect(parseCron(text)).toEqual({ wrong: 'cron' });
});

test('an hour that a change of the clocks leaves out or repeats is due once', () => {
  const times = parseCron('30 2 * * *', 'Europe/Berlin');
  if ('wrong' in times) throw new Error(times.wrong);
  const days = (from: number) => {
    const found = [];
    for (let at = times.next(from); at !== undefined && found.length < 3; at = times.next(at))
      found.push(new Date(at).toISOString().slice(5, 16));
    return found;
  };
  expect(days(Date.UTC(2026, 2, 28))).toEqual(['03-28T01:30', '03-29T01:00', '03-30T00:30']);
  expect(days(Date.UTC(2026, 9, 24))).toEqual(['10-24T00:30', '10-25T00:30', '10-26T01:30']);
});
