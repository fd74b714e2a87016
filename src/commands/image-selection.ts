import type { ImageSelection } from '../cache/store-operations.ts';
import type { NamedUpstream } from '../oci/named-upstream.ts';
import { OciError } from '../oci/error.ts';
import { parseImageReference } from '../oci/image-reference.ts';

const FORMER = /^[a-z0-9-]+(?:\.[a-z0-9-]+)+(?::\d{1,5})?$/;

/**
 * Reads what is cached as an operator names it: an upstream (`quay.io`), a repository with all of its tags (`nginx`,
 * `quay.io/coreos/etcd`), or an image (`nginx:1.27`, `quay.io/coreos/etcd@sha256:…`). A host that is no upstream of the
 * configuration is taken for one that was.
 */
export function parseImageSelection(
  text: string,
  upstreams: readonly NamedUpstream[],
): ImageSelection | { readonly problem: string } {
  // No repository of one component has a dot: it is a registry's name.
  if (upstreams.some(({ name }) => name === text) || FORMER.test(text)) return { upstream: text };
  const slash = text.indexOf('/');
  const first = slash === -1 ? '' : text.slice(0, slash);
  const isFormer = /[.:]|^localhost$/.test(first) && upstreams.every(({ name }) => name !== first);
  const known = isFormer ? [...upstreams, { name: first, default: false }] : upstreams;
  try {
    const image = parseImageReference(text, known);
    if ('problem' in image) return image;
    const { upstream, repository, reference } = image;
    const path = first === upstream ? text.slice(slash + 1) : text;
    return /[:@]/.test(path) ? { upstream, repository, reference } : { upstream, repository };
  } catch (error) {
    if (error instanceof OciError) return { problem: error.message };
    throw error;
  }
}
