/** Values by name; what is absent is not set. */
export type Variables = Readonly<Record<string, string | undefined>>;

export interface Expanded {
  readonly text: string;
  /** Variables that are not set and have no default: they are empty, as for the programs themselves. */
  readonly unset: readonly string[];
}

/** Defaults in defaults; nobody writes more than two. */
const DEPTH_LIMIT = 8;
/** What is longer is no image, nor a part of one; and what doubles a few times is soon too long for any memory. */
const LENGTH_LIMIT = 65_536;
const NAME = /[A-Za-z_][A-Za-z0-9_]*/y;
const OPERATOR = /:?[-+?]/y;

/**
 * Replaces `$X`, `${X}`, `${X:-default}`, `${X-default}`, `${X:+other}`, `${X+other}`, `${X:?message}` and
 * `${X?message}`, with variables in defaults as well.
 * @param plain how a plain dollar is written: `$$` (Compose), `\$` (Dockerfiles)
 * @returns what is wrong with it, for the user
 */
export function expand(
  text: string,
  variables: Variables,
  plain: '$$' | '\\$',
): Expanded | { readonly problem: string } {
  const unset: string[] = [];
  try {
    const { text: expanded } = new Expansion(text, variables, plain, unset).until(undefined, 0);
    return { text: expanded, unset };
  } catch (error) {
    if (error instanceof Fault) return { problem: error.message };
    throw error;
  }
}

class Fault extends Error {}

class Expansion {
  readonly #text: string;
  readonly #variables: Variables;
  readonly #plain: string;
  readonly #unset: string[];
  #at = 0;

  constructor(text: string, variables: Variables, plain: string, unset: string[]) {
    this.#text = text;
    this.#variables = variables;
    this.#plain = plain;
    this.#unset = unset;
  }

  /** Up to `end`, which is taken too. Only what `isMeant` counts as unset. */
  until(end: string | undefined, depth: number, isMeant = true): { readonly text: string } {
    if (depth > DEPTH_LIMIT) throw new Fault('its variables are nested too deep');
    let text = '';
    for (;;) {
      if (text.length > LENGTH_LIMIT) throw new Fault('with its variables it is too long');
      const next = this.#text[this.#at];
      if (next === undefined) {
        if (end === undefined) return { text };
        throw new Fault('a ${ has no } after it');
      }
      if (next === end) {
        this.#at += 1;
        return { text };
      }
      if (this.#text.startsWith(this.#plain, this.#at)) {
        text += '$';
        this.#at += this.#plain.length;
      } else if (next === '$') text += this.#variable(depth, isMeant);
      else {
        text += next;
        this.#at += 1;
      }
    }
  }

  #variable(depth: number, isMeant: boolean): string {
    this.#at += 1;
    const isBraced = this.#text[this.#at] === '{';
    if (isBraced) this.#at += 1;
    const name = this.#take(NAME);
    if (name === undefined) throw new Fault('a $ has no name after it');
    const value = Object.hasOwn(this.#variables, name) ? this.#variables[name] : undefined;
    if (!isBraced || this.#text[this.#at] === '}') {
      if (isBraced) this.#at += 1;
      if (value === undefined && isMeant) this.#unset.push(name);
      return value ?? '';
    }
    const operator = this.#take(OPERATOR);
    if (operator === undefined)
      throw new Fault(`what stands in \${${name}…} is none of :- - :+ + :? ? and what follows them`);
    const isThere = value !== undefined && !(operator.startsWith(':') && value === '');
    const isUsed = operator.endsWith('+') === isThere;
    const other = this.until('}', depth + 1, isMeant && isUsed).text;
    if (operator.endsWith('+')) return isThere ? other : '';
    if (isThere) return value;
    if (operator.endsWith('-')) return other;
    if (isMeant)
      throw new Fault(`the variable ${name} has to be set${other === '' ? '' : `: ${other.slice(0, 100)}`}`);
    return '';
  }

  #take(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text)?.[0];
    if (found !== undefined) this.#at += found.length;
    return found;
  }
}
