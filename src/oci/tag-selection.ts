// All of semver takes twice as long to load, at the start of every command.
import satisfies from 'semver/functions/satisfies.js';
import validRange from 'semver/ranges/valid.js';
import { parseTagPattern } from './tag-pattern.ts';

/** Which of a repository's tags are meant. */
export interface TagSelection {
  /** As it was written. */
  readonly text: string;
  readonly matches: (tag: string) => boolean;
}

/** Longer than any that a person writes. */
const LENGTH_LIMIT = 1024;
/** As people write versions in tags: two numbers are enough. */
const VERSION = /^v?(\d{1,9}\.\d{1,9})(\.\d{1,9})?(-[0-9A-Za-z.-]+)?$/;
const LOOSE = { loose: true };

/**
 * Reads a range of versions (`^1.27`, `>=1.2 <2`, `1.27.x`) or else a regular expression (RE2's syntax) that matches
 * whole tags. What can be read as both is a range; in parentheses it is an expression: `(1.27.*)`.
 * Of a range are tags that are versions of two or three numbers (`v1.27`, `1.27.3`). One with a suffix, such as
 * `1.27.3-alpine`, is a pre-release to semver, of no range that does not name one of the same three numbers.
 * @returns what is wrong with it, for the user, when it is neither
 */
export function parseTagSelection(text: string): TagSelection | { readonly problem: string } {
  if (text.trim() === '' || text.length > LENGTH_LIMIT) return { problem: ACCEPTED };
  const range = validRange(text, LOOSE);
  if (range !== null) return { text, matches: (tag) => isOfRange(tag, range) };
  const pattern = parseTagPattern(text);
  return pattern === undefined ? { problem: ACCEPTED } : pattern;
}

const ACCEPTED =
  "accepted is a range of versions such as ^1.27 or '>=1.2 <2', or a regular expression (RE2) that matches whole tags";

function isOfRange(tag: string, range: string): boolean {
  const [, major, patch = '.0', suffix = ''] = VERSION.exec(tag) ?? [];
  return major !== undefined && satisfies(`${major}${patch}${suffix}`, range, LOOSE);
}
