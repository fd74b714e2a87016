/** One challenge of a `WWW-Authenticate` header (RFC 9110 §11.3). */
export interface Challenge {
  /** Lower case. */
  readonly scheme: string;
  /** By lower-case name; of a name that is given twice, the first. */
  readonly parameters: ReadonlyMap<string, string>;
}

/** More challenges than any registry sends. */
const CHALLENGE_LIMIT = 16;

const SEPARATORS = /[ \t,]*/y;
const TOKEN = /[!#$%&'*+.^_`|~0-9A-Za-z-]+/y;
const EQUALS = /[ \t]*=[ \t]*/y;
const QUOTED = /"((?:[^"\\]|\\[\s\S])*)"/y;
/** Registries leave URLs unquoted, so more is taken than a token may hold. */
const UNQUOTED = /[^\s,"]*/y;
const TOKEN68 = /[ \t]+[A-Za-z0-9._~+/-]+=*[ \t]*(?=,|$)/y;

/**
 * Reads all challenges of all header lines, in order. Lenient: what makes no sense is skipped, never an error. Takes
 * time linear in the input, which the header limit bounds.
 */
export function parseChallenges(values: readonly string[]): readonly Challenge[] {
  return values.flatMap(parseLine).slice(0, CHALLENGE_LIMIT);
}

function parseLine(line: string): readonly Challenge[] {
  const challenges: { scheme: string; parameters: Map<string, string> }[] = [];
  let position = 0;
  const take = (pattern: RegExp): RegExpExecArray | undefined => {
    pattern.lastIndex = position;
    const found = pattern.exec(line);
    if (found === null) return undefined;
    position += found[0].length;
    return found;
  };
  while (position < line.length) {
    take(SEPARATORS);
    const name = take(TOKEN)?.[0];
    if (name === undefined) {
      position += 1;
      continue;
    }
    const current = challenges.at(-1);
    if (take(EQUALS) !== undefined) {
      const quoted = take(QUOTED)?.[1]?.replace(/\\([\s\S])/g, '$1');
      const value = quoted ?? take(UNQUOTED)?.[0] ?? '';
      const key = name.toLowerCase();
      // One before any scheme belongs to nothing.
      if (current?.parameters.has(key) === false) current.parameters.set(key, value);
      continue;
    }
    challenges.push({ scheme: name.toLowerCase(), parameters: new Map() });
    take(TOKEN68);
  }
  return challenges;
}
