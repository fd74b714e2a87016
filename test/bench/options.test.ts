import { expect, test } from 'vitest';
import { benchOptions, BenchUsageError } from './options.ts';

const CHOICES = { only: ['peers', 'peer-cold', 'micro'], peer: ['nginx', 'zot'] };
const USAGE = '[--quick] [--only NAME]… [--peer NAME]… [--minutes NUMBER] [--json FILE] [--markdown]';

function parsed(...args: readonly string[]) {
  return benchOptions(args, { choices: CHOICES, defaults: { json: 'result.json', minutes: 120 } });
}

test('options of the bench are what was said, or their defaults', () => {
  expect(parsed()).toEqual({ quick: false, json: 'result.json', markdown: false, minutes: 120 });
  const args = [
    '--quick',
    '--only',
    'micro',
    '--only=peers',
    '--peer',
    'zot',
    '--minutes',
    '0.5',
    '--json=-x',
  ];
  expect(parsed(...args, '--markdown')).toEqual({
    quick: true,
    only: ['micro', 'peers'],
    peer: ['zot'],
    json: '-x',
    markdown: true,
    minutes: 0.5,
  });
});

test.each([
  [['--onyl', 'micro'], `unknown option: --onyl; there is ${USAGE}`],
  [['-q'], `unknown option: -q; there is ${USAGE}`],
  [['micro'], `unexpected: micro; there is ${USAGE}`],
  [['--only', 'mirco'], '--only takes one of peers, peer-cold, micro, and not mirco'],
  [['--peer', 'ngnix'], '--peer takes one of nginx, zot, and not ngnix'],
  [['--only'], '--only takes one of peers, peer-cold, micro, and has no value'],
  [['--peer', '--quick'], '--peer takes one of nginx, zot, and has no value'],
  [['--json'], '--json takes a file, and has no value'],
  [['--json='], '--json takes a file, and has no value'],
  [['--minutes', 'ten'], '--minutes takes a number above 0, and 10080 at most, and not ten'],
  [['--minutes', '0'], '--minutes takes a number above 0, and 10080 at most, and not 0'],
  [['--minutes', '99999999'], '--minutes takes a number above 0, and 10080 at most, and not 99999999'],
  [['--quick=yes'], '--quick takes no value, and has yes'],
] as const)('%j is one sentence: %s', (args, sentence) => {
  expect(() => parsed(...args)).toThrow(new BenchUsageError(sentence));
});
