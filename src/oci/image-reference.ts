import { type Digest, digestFrom } from './digest.ts';
import { type NamedUpstream, splitUpstream } from './named-upstream.ts';
import {
  isRepositoryName,
  isTag,
  parseReference,
  parseRepositoryName,
  type Reference,
  type RepositoryName,
  type Tag,
} from './reference.ts';

/** An image as an upstream knows it. */
export interface ImageReference {
  /** The upstream's name. */
  readonly upstream: string;
  readonly repository: RepositoryName;
  readonly reference: Reference;
}

/** A reference as it was written: what is not in it is absent. */
export interface ImageName {
  /** The upstream's name. */
  readonly upstream: string;
  readonly repository: RepositoryName;
  /** With neither, `latest` is meant. */
  readonly tag?: Tag | undefined;
  /** What is pulled, whatever the tag means by now: clients ignore the tag beside it. */
  readonly digest?: Digest | undefined;
}

const ACCEPTED = 'accepted is [upstream/]repository[:tag][@digest]';

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
  const written = partsOf(text, upstreams);
  if ('problem' in written) return written;
  const { upstream, repository, tag, digest } = written;
  return { upstream, repository, reference: parseReference(digest ?? tag ?? 'latest') };
}

/** Like parseImageReference, for who has to know what was written; a bad tag or digest is a problem as well. */
export function parseImageName(
  text: string,
  upstreams: readonly NamedUpstream[],
): ImageName | { readonly problem: string } {
  const written = partsOf(text, upstreams);
  if ('problem' in written) return written;
  const { upstream, repository } = written;
  const digest = written.digest === undefined ? undefined : digestFrom(written.digest);
  if (written.digest !== undefined && digest === undefined)
    return { problem: 'a digest is sha256: and 64, or sha512: and 128, lower-case hexadecimal digits' };
  if (written.tag !== undefined && !isTag(written.tag))
    return { problem: 'a tag is a letter, digit or _ and up to 127 more of letters, digits, _ . and -' };
  return {
    upstream,
    repository,
    ...(written.tag !== undefined && { tag: written.tag }),
    ...(digest !== undefined && { digest }),
  };
}

/** In full; reads back as the same. */
export function printImageName({ upstream, repository, tag, digest }: ImageName): string {
  return `${upstream}/${repository}${tag === undefined ? '' : `:${tag}`}${digest === undefined ? '' : `@${digest}`}`;
}

/** What is asked for by that name. */
export function referenceOf({ tag, digest }: Pick<ImageName, 'tag' | 'digest'>): Reference {
  if (digest !== undefined) return { digest };
  return tag === undefined ? parseReference('latest') : { tag };
}

function partsOf(
  text: string,
  upstreams: readonly NamedUpstream[],
):
  | {
      readonly upstream: string;
      readonly repository: RepositoryName;
      readonly tag: string | undefined;
      readonly digest: string | undefined;
    }
  | { readonly problem: string } {
  const split = splitUpstream(text, upstreams);
  if ('problem' in split) return split;
  const { upstream, path } = split;
  const [, name = '', tag, digest] = /^([^:@]*)(?::([^:@]*))?(?:@(.*))?$/s.exec(path) ?? [];
  const isShort = upstream.profile?.hubNames === true && !name.includes('/');
  const repository = isShort ? `library/${name}` : name;
  if (!isRepositoryName(repository)) return { problem: ACCEPTED };
  return { upstream: upstream.name, repository: parseRepositoryName(repository), tag, digest };
}
