import { RE2JS } from 're2js';

/** A set of tags as an operator writes it: a regular expression (RE2's syntax) that matches whole tags. */
export interface TagPattern {
  /** As it was written. */
  readonly text: string;
  /** In time that grows with the tag's length only, whatever the expression is: tags are what clients make up. */
  readonly matches: (tag: string) => boolean;
}

/** `undefined` for what is no expression; look-around and back references are none, since no engine is quick at them. */
export function parseTagPattern(text: string): TagPattern | undefined {
  try {
    const expression = RE2JS.compile(text);
    return { text, matches: (tag) => expression.matches(tag) };
  } catch {
    return undefined;
  }
}
