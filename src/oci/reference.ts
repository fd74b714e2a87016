import { type Digest, parseDigest } from './digest.ts';
import { OciError } from './error.ts';

/** A repository's name within its upstream, as the distribution spec's grammar allows it. */
export type RepositoryName = string & { readonly __brand: 'RepositoryName' };

/** A tag as the distribution spec's grammar allows it. */
export type Tag = string & { readonly __brand: 'Tag' };

/** What a manifest is asked by. */
export type Reference = { readonly tag: Tag } | { readonly digest: Digest };

const NAME = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$/;
const TAG = /^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$/;

/** Many clients cap `host/name` at 255 characters (distribution spec, "Pulling manifests"). */
const NAME_LENGTH_LIMIT = 255;

/** @throws OciError `NAME_INVALID` */
export function parseRepositoryName(text: string): RepositoryName {
  if (isRepositoryName(text)) return text;
  throw new OciError(
    'NAME_INVALID',
    'a repository name is lower-case letters and digits, separated by one of . _ __ - or /, 255 characters at most',
  );
}

export function isRepositoryName(text: string): text is RepositoryName {
  return text.length <= NAME_LENGTH_LIMIT && NAME.test(text);
}

/** @throws OciError `TAG_INVALID` */
export function parseTag(text: string): Tag {
  if (isTag(text)) return text;
  throw new OciError(
    'TAG_INVALID',
    'a tag is a letter, digit or _ and up to 127 more of letters, digits, _ . and -',
  );
}

export function isTag(text: string): text is Tag {
  return TAG.test(text);
}

/**
 * A tag cannot hold a colon, so text with one is a digest.
 * @throws OciError `TAG_INVALID` or `DIGEST_INVALID`
 */
export function parseReference(text: string): Reference {
  return text.includes(':') ? { digest: parseDigest(text) } : { tag: parseTag(text) };
}

export function printReference(reference: Reference): string {
  return 'tag' in reference ? reference.tag : reference.digest;
}
