const LINK_LENGTH_LIMIT = 8 * 1024;

/**
 * The target of the first `rel="next"` among `Link` headers (RFC 8288), as written. `undefined` when there is none.
 */
export function parseNextLink(values: readonly string[]): string | undefined {
  for (const value of values) {
    if (value.length > LINK_LENGTH_LIMIT) continue;
    // Targets hold neither > nor a space; parameters hold commas and semicolons within quotes only.
    for (const [, target, parameters] of value.matchAll(/<([^<>\s]*)>((?:[^<>,"]|"(?:[^"\\]|\\.)*")*)/g)) {
      if (target !== undefined && isNext(parameters ?? '')) return target;
    }
  }
  return undefined;
}

function isNext(parameters: string): boolean {
  const all = parameters.matchAll(/;\s*([^\s=;,"]+)(?:\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;,"]*)))?/g);
  for (const [, name, quoted, bare] of all) {
    if (name?.toLowerCase() !== 'rel') continue;
    return (quoted ?? bare ?? '').toLowerCase().split(/\s+/).includes('next');
  }
  return false;
}
