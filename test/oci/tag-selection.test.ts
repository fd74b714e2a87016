import { assert, property, string } from 'fast-check';
import { expect, test } from 'vitest';
import { parseTagSelection } from '../../src/oci/tag-selection.ts';
import { processorMs } from '../support/processor-time.ts';

const TAGS = [
  '1',
  '1.26',
  '1.27',
  '1.27.0',
  'v1.27.3',
  '1.27.3-alpine',
  '1.28.0-rc.1',
  '2.0.0',
  '22.04',
  'latest',
  '20240101',
];

function selected(text: string): readonly string[] | string {
  const selection = parseTagSelection(text);
  return 'problem' in selection ? selection.problem : TAGS.filter(selection.matches);
}

test.each([
  ['^1.27', ['1.27', '1.27.0', 'v1.27.3']],
  ['1.27.x', ['1.27', '1.27.0', 'v1.27.3']],
  ['>=1.26 <1.27', ['1.26']],
  ['1.26 || 2', ['1.26', '2.0.0']],
  ['>=22.04', ['22.04']],
  ['>=1.28.0-rc', ['1.28.0-rc.1', '2.0.0', '22.04']],
  ['(1.27.*)', ['1.27', '1.27.0', '1.27.3-alpine']],
  ['v?1\\.27\\.\\d+', ['1.27.0', 'v1.27.3']],
  ['latest|1', ['1', 'latest']],
  ['.*', TAGS],
])('%s selects %j', (text, expected) => {
  expect(selected(text)).toEqual(expected);
});

test.each(['', '  ', '[', '(?=a)', '(a)\\1', 'a'.repeat(2000)])(
  '%s is neither a range nor an expression',
  (text) => {
    expect(selected(text)).toMatch(/^accepted is a range of versions/);
  },
);

test('whatever is written, tags are selected or it is a problem; never anything else', () => {
  assert(
    property(string(), string(), (text, tag) => {
      const selection = parseTagSelection(text);
      expect('problem' in selection ? 'problem' : typeof selection.matches(tag)).toMatch(/problem|boolean/);
    }),
    { numRuns: 2000 },
  );
});

test('no expression takes long, whatever tags there are', () => {
  const selection = parseTagSelection('(a*)*b');
  const tookMs = processorMs(() =>
    expect('matches' in selection && selection.matches(`${'a'.repeat(10_000)}c`)).toBe(false),
  );
  expect(tookMs).toBeLessThan(2000);
});
