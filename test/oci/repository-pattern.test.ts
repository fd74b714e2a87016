import { array, assert, property, stringMatching } from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  matchesPattern,
  bySpecificity,
  exampleOf,
  parseRepositoryPattern,
  type RepositoryPattern,
} from '../../src/oci/repository-pattern.ts';

function pattern(text: string): RepositoryPattern {
  const parsed = parseRepositoryPattern(text);
  if (parsed === undefined) throw new Error(`${text} is not taken`);
  return parsed;
}

describe('a repository pattern', () => {
  it('has an example that it matches, unless that would be too long a name', () => {
    for (const text of ['library/nginx', 'team/**', '**', '*', 'a/*/b', '**/x-*', '*.*'])
      expect(matchesPattern(pattern(text), exampleOf(pattern(text)) ?? '')).toBe(true);
    expect(exampleOf(pattern(`${'a'.repeat(250)}/*`))).toBeUndefined();
  });

  it.each([
    ['library/nginx', ['library/nginx'], ['library/nginx2', 'x/library/nginx', 'library/nginx/x']],
    ['library/*', ['library/nginx', 'library/a.b-c'], ['library', 'library/a/b', 'other/nginx']],
    ['team/**', ['team/a', 'team/a/b/c'], ['team', 'teams/a', 'x/team/a']],
    ['**', ['a', 'a/b', 'a/b/c'], []],
    ['*', ['a', 'nginx'], ['a/b']],
    ['**/app', ['app', 'a/app', 'a/b/app'], ['myapp', 'a/app/b']],
    ['team/**/app', ['team/app', 'team/a/b/app'], ['team/a', 'app']],
    ['team/web-*', ['team/web-1', 'team/web-'], ['team/web', 'team/web-1/x']],
    ['a.b/c', ['a.b/c'], ['aab/c']],
  ])('%s matches what it says and nothing else', (text, matching, others) => {
    for (const name of matching) expect(matchesPattern(pattern(text), name), name).toBe(true);
    for (const name of others) expect(matchesPattern(pattern(text), name), name).toBe(false);
  });

  it.each(['', '/', 'a/', '/a', 'a//b', 'A/b', 'a/***', 'a/b**', 'a:b', 'a b', '(x)', '[a-z]', 'a\\b'])(
    '%j is not taken',
    (text) => {
      expect(parseRepositoryPattern(text)).toBeUndefined();
    },
  );

  it('without a star matches exactly itself', () => {
    const component = stringMatching(/^[a-z0-9]{1,5}(?:[._-][a-z0-9]{1,5})?$/);
    const name = array(component, { minLength: 1, maxLength: 4 }).map((parts) => parts.join('/'));
    assert(property(name, name, (one, other) => matchesPattern(pattern(one), other) === (one === other)));
  });

  it.each(['*a*b*', '**/a/**/b/**'])(
    '%s has more stars than are decided quickly, and is not taken',
    (text) => {
      expect(parseRepositoryPattern(text)).toBeUndefined();
    },
  );

  it('of the worst kind is decided in no time', () => {
    const worst = pattern('**/*a*/**/x');
    expect(matchesPattern(worst, `${'a/'.repeat(126)}b`)).toBe(false);
    expect(matchesPattern(pattern('*a*'), 'b'.repeat(255))).toBe(false);
  });
});

describe('of several rules', () => {
  const rules = ['**', 'team/**', 'team/app', 'team/*', 'other/*'].map((text) => ({
    pattern: pattern(text),
  }));

  it.each([
    ['team/app', ['team/app', 'team/**', 'team/*', '**']],
    ['team/web', ['team/**', 'team/*', '**']],
    ['team/a/b', ['team/**', '**']],
    ['other/x', ['other/*', '**']],
    ['x', ['**']],
  ])('for %s those count that match, the most specific one first: %j', (name, expected) => {
    expect(bySpecificity(rules, name).map(({ pattern: { text } }) => text)).toEqual(expected);
  });

  it('none counts where none matches', () => {
    expect(bySpecificity(rules.slice(1), 'x')).toEqual([]);
  });
});
