/** What is asked of an upstream to read names by it. */
export interface NamedUpstream {
  readonly name: string;
  readonly default: boolean;
  /** Other names of it. Only hosts count here: `index.docker.io`; without a dot it may be a namespace. */
  readonly prefixes?: readonly string[] | undefined;
  readonly profile?: { readonly hubNames?: boolean | undefined } | undefined;
}

/**
 * Which upstream a name as Docker users write it begins with, and what follows: its first component where that is an
 * upstream's name, else the default upstream and all of it.
 * @returns what is wrong with it, for the user, when it names a host that is no upstream, or there is no default
 */
export function splitUpstream<T extends NamedUpstream>(
  text: string,
  upstreams: readonly T[],
): { readonly upstream: T; readonly path: string } | { readonly problem: string } {
  const slash = text.indexOf('/');
  const first = slash === -1 ? undefined : text.slice(0, slash);
  const named =
    upstreams.find(({ name }) => name === first) ??
    upstreams.find(({ prefixes }) => first?.includes('.') === true && prefixes?.includes(first) === true);
  if (named !== undefined) return { upstream: named, path: text.slice(slash + 1) };
  if (first !== undefined && /[.:]|^localhost$/.test(first)) {
    const names = upstreams.map(({ name }) => name).join(', ');
    return { problem: `${first} is not an upstream; there are ${names}` };
  }
  const upstream = upstreams.find((candidate) => candidate.default);
  if (upstream !== undefined) return { upstream, path: text };
  return { problem: 'no upstream is the default, so it has to begin with the name of one' };
}
