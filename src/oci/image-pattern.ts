import { type Digest, digestFrom } from './digest.ts';
import { type NamedUpstream, splitUpstream } from './named-upstream.ts';
import { matchesPattern, parseRepositoryPattern, type RepositoryPattern } from './repository-pattern.ts';

/** A set of images as an operator writes it: `docker.io/library/*`, `ghcr.io/org/app:v1`, `quay.io/org/app@sha256:…`. */
export interface ImagePattern {
  /** In full: with the upstream and, at Docker Hub, with `library/`. Reads back as the same pattern. */
  readonly text: string;
  readonly upstream: string;
  readonly repository: RepositoryPattern;
  /** Absent: every tag, and what has none. */
  readonly tag?: RegExp | undefined;
  readonly digest?: Digest | undefined;
}

const ACCEPTED =
  'accepted is [upstream/]repository[:tag][@digest] or an upstream, with * for any characters of a component or tag, ** for any number of components';

const TAG = /^[a-zA-Z0-9_*][a-zA-Z0-9._*-]{0,127}$/;
/** More would let an unlucky tag keep the expression busy for long. */
const STARS_IN_TAG_LIMIT = 2;
/** Longer than the longest repository, tag and digest together. */
const LENGTH_LIMIT = 1024;

/** @returns what is wrong with it, for the user, when it is no such pattern */
export function parseImagePattern(
  text: string,
  upstreams: readonly NamedUpstream[],
): ImagePattern | { readonly problem: string } {
  if (text.length > LENGTH_LIMIT) return { problem: ACCEPTED };
  if (upstreams.some(({ name }) => name === text)) return patternOf(text, '**', undefined);
  const split = splitUpstream(text, upstreams);
  if ('problem' in split) return split;
  const { upstream, path } = split;
  const [, name = '', reference] = /^([^:@]+)((?:[:@].*)?)$/s.exec(path) ?? [];
  const isShort = upstream.profile?.hubNames === true && !name.includes('/') && name !== '**';
  return patternOf(upstream.name, isShort ? `library/${name}` : name, reference);
}

/** Reads what `text` of a pattern says, whatever upstreams there are now. `undefined` for anything else. */
export function storedImagePattern(text: string): ImagePattern | undefined {
  const slash = text.indexOf('/');
  if (slash < 1) return undefined;
  const name = text.slice(0, slash);
  const pattern = parseImagePattern(text, [{ name, default: false }]);
  return 'problem' in pattern || pattern.text !== text ? undefined : pattern;
}

export function matchesTag({ tag }: ImagePattern, text: string): boolean {
  return tag === undefined || tag.test(text);
}

export function matchesRepository(
  { upstream, repository }: ImagePattern,
  key: { readonly upstream: string; readonly repository: string },
): boolean {
  return upstream === key.upstream && matchesPattern(repository, key.repository);
}

function patternOf(
  upstream: string,
  name: string,
  reference: string | undefined,
): ImagePattern | { readonly problem: string } {
  const repository = parseRepositoryPattern(name);
  const parts = /^(?::([^:@]+))?(?:@(.+))?$/s.exec(reference ?? '');
  const [tagText, digestText] = [parts?.[1], parts?.[2]];
  const tag = tagText === undefined ? undefined : tagExpression(tagText);
  const digest = digestText === undefined ? undefined : digestFrom(digestText);
  if (repository === undefined || parts === null) return { problem: ACCEPTED };
  if (tagText !== undefined && tag === undefined) return { problem: ACCEPTED };
  if (digestText !== undefined && digest === undefined)
    return { problem: 'a digest is sha256: and 64, or sha512: and 128, lower-case hexadecimal digits' };
  // Docker's clients ignore the tag beside a digest.
  const suffix = digest === undefined ? (tagText === undefined ? '' : `:${tagText}`) : `@${digest}`;
  return {
    text: `${upstream}/${name}${suffix}`,
    upstream,
    repository,
    ...(digest === undefined ? tag !== undefined && { tag } : { digest }),
  };
}

function tagExpression(text: string): RegExp | undefined {
  if (!TAG.test(text) || text.split('*').length - 1 > STARS_IN_TAG_LIMIT) return undefined;
  return new RegExp(`^${text.replaceAll('.', '\\.').replaceAll(/\*+/g, '.*')}$`);
}
