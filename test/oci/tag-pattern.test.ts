import { describe, expect, it } from 'vitest';
import { parseTagPattern } from '../../src/oci/tag-pattern.ts';

describe('a pattern for tags', () => {
  it.each([
    ['v1|2', ['v1', '2'], ['v12', 'x2', 'v1x']],
    ['v\\d+\\.\\d+\\.\\d+', ['v1.2.3', 'v10.20.30'], ['v1.2', 'v1.2.3-rc1', 'xv1.2.3']],
    ['.*', ['latest', ''], []],
  ])('%s matches whole tags only', (text, matching, others) => {
    const pattern = parseTagPattern(text);
    for (const tag of matching) expect(pattern?.matches(tag), tag).toBe(true);
    for (const tag of others) expect(pattern?.matches(tag), tag).toBe(false);
  });

  it.each(['(', '[a', 'a{2,1}', '(?=x)', '(a)\\1', '\\d++'])('%s is not taken', (text) => {
    expect(parseTagPattern(text)).toBeUndefined();
  });

  it.each(['(\\d+\\.?)+', '(a+)+$', '(\\d|\\d\\d)+x?'])('%s keeps nobody busy, whatever the tag', (text) => {
    expect(parseTagPattern(text)?.matches(`${'1'.repeat(127)}-`)).toBe(false);
    expect(parseTagPattern(text)?.matches(`${'a'.repeat(127)}!`)).toBe(false);
  });
});
