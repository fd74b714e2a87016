import { type NamedUpstream, splitUpstream } from '../oci/named-upstream.ts';
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
  const split = splitUpstream(text, upstreams);
  if ('problem' in split) return split;
  const { upstream, path } = split;
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
