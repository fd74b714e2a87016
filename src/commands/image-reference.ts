import type { UpstreamConfig } from '../config.ts';
import {
  isRepositoryName,
  parseReference,
  parseRepositoryName,
  type Reference,
  type RepositoryName,
} from '../oci/reference.ts';

/** An image as an upstream knows it. */
export interface ImageReference {
  /** The upstream's name. */
  readonly upstream: string;
  readonly repository: RepositoryName;
  readonly reference: Reference;
}

type NamedUpstream = Pick<UpstreamConfig, 'name' | 'default' | 'profile'>;

/**
 * Reads a reference as Docker users write it: `nginx` (the default upstream, `library/`, `latest`),
 * `quay.io/coreos/etcd:v3.5`, `ghcr.io/org/app@sha256:…`. Its host is an upstream's name.
 * @returns what is wrong with it, for the user, when it is no such reference
 * @throws OciError when its tag or digest is not one
 */
export function parseImageReference(
  text: string,
  upstreams: readonly NamedUpstream[],
): ImageReference | { readonly problem: string } {
  const slash = text.indexOf('/');
  const first = slash === -1 ? undefined : text.slice(0, slash);
  const named = upstreams.find(({ name }) => name === first);
  if (named === undefined && first !== undefined && /[.:]|^localhost$/.test(first)) {
    const names = upstreams.map(({ name }) => name).join(', ');
    return { problem: `${first} is not an upstream; there are ${names}` };
  }
  const upstream = named ?? upstreams.find((candidate) => candidate.default);
  if (upstream === undefined)
    return { problem: 'no upstream is the default, so it has to begin with the name of one' };
  const path = named === undefined ? text : text.slice(slash + 1);
  const [, name = '', tag, digest] = /^([^:@]*)(?::([^:@]*))?(?:@(.*))?$/s.exec(path) ?? [];
  const isShort = upstream.profile?.hubNames === true && !name.includes('/');
  const repository = isShort ? `library/${name}` : name;
  if (!isRepositoryName(repository)) return { problem: 'accepted is [upstream/]repository[:tag][@digest]' };
  return {
    upstream: upstream.name,
    repository: parseRepositoryName(repository),
    reference: parseReference(digest ?? tag ?? 'latest'),
  };
}
