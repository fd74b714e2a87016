import { assert, constantFrom, property, string } from 'fast-check';
import { expect, test } from 'vitest';
import { expand } from '../../src/image-sources/variables.ts';

const variables = { A: 'a', EMPTY: '' };

test.each([
  ['x', 'x'],
  ['$A-${A}', 'a-a'],
  ['${A:-b}${B:-b}${EMPTY:-b}${EMPTY-b}', 'abb'],
  ['${B:-${A}${C:-c}}', 'ac'],
  ['${A:+y}${A+y}${B:+y}${EMPTY:+y}${EMPTY+y}', 'yyy'],
  ['$$A $${A}', '$A ${A}'],
  ['${A:?no}', 'a'],
])('%s is %s', (text, expected) => {
  expect(expand(text, variables, '$$')).toEqual({ text: expected, unset: [] });
});

test('variables without a value are told, but not where they do not count', () => {
  expect(expand('$B ${C} ${A:-$D} ${E:+$F}', variables, '$$')).toEqual({ text: '  a ', unset: ['B', 'C'] });
  expect(expand('$toString', variables, '$$')).toEqual({ text: '', unset: ['toString'] });
});

test.each([
  ['${A:-b', 'a ${ has no } after it'],
  ['$-', 'a $ has no name after it'],
  ['${A/b/c}', /none of/],
  ['${B:?why}', 'the variable B has to be set: why'],
  ['${B:-'.repeat(50), /too deep/],
])('%s is wrong', (text, problem) => {
  expect(expand(text, variables, '$$')).toEqual({
    problem: typeof problem === 'string' ? problem : expect.stringMatching(problem),
  });
});

test('text that doubles stays within bounds', () => {
  expect(expand('$A$A'.repeat(2000), { A: 'a'.repeat(1000) }, '$$')).toEqual({
    problem: 'with its variables it is too long',
  });
});

test('whatever the text is, it is expanded or has a problem', () => {
  const text = string({ unit: constantFrom('$', '{', '}', ':', '-', '?', '+', 'A', 'b', '\\', ' ') });
  assert(
    property(text, constantFrom('$$' as const, '\\$' as const), (written, plain) => {
      const expanded = expand(written, variables, plain);
      expect('problem' in expanded || typeof expanded.text === 'string').toBe(true);
      if (!written.includes('$')) expect(expanded).toEqual({ text: written, unset: [] });
    }),
  );
});
