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
  const found = /;\s*rel\s*=\s*(?:"([^"]*)"|([^\s;,"]+))/i.exec(parameters);
  const relations = (found?.[1] ?? found?.[2] ?? '').toLowerCase().split(/\s+/);
  return relations.includes('next');
}
