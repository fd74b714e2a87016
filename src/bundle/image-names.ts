import { type NamedUpstream, splitUpstream } from '../oci/named-upstream.ts';
import { isRepositoryName, isTag, type RepositoryName, type Tag } from '../oci/reference.ts';

/** Where an image belongs here. */
export interface ImageName {
  readonly upstream: string;
  readonly repository: RepositoryName;
  /** Absent: it is known by its digest alone. */
  readonly tag: Tag | undefined;
}

/** A name as an archive has it. */
export interface ForeignName {
  readonly text: string;
  /** `docker`: without a host it is Docker Hub's. `full`: it must have one. `reference`: a name or a tag alone. */
  readonly kind: 'docker' | 'full' | 'reference';
}

export interface NamingOptions {
  readonly upstreams: readonly NamedUpstream[];
  /** Where names go that have no host, or one that is no upstream: the name of an upstream. */
  readonly upstream?: string | undefined;
  /** In place of the names that archives have: a repository, with a tag or without, as users write it. */
  readonly as?: string | undefined;
}

type Result = ImageName | { readonly problem: string };

interface Reference {
  readonly host: string | undefined;
  readonly path: string;
  readonly tag: string | undefined;
}

/** Which upstream's image a name means. @returns what is wrong, and what to do, when it means none here */
export function imageName(name: ForeignName, { upstreams, upstream, as }: NamingOptions): Result {
  const { text, kind } = name;
  const found = splitReference(text);
  const isTagAlone = kind === 'reference' && isTag(text);
  if (as !== undefined) return nameGiven(as, upstreams, isTagAlone ? text : found?.tag);
  if (isTagAlone)
    return { problem: `it is called ${text} alone, without a repository: give it with --as IMAGE` };
  if (found === undefined) return { problem: `${JSON.stringify(text.slice(0, 300))} is no name of an image` };
  const host = found.host ?? (kind === 'docker' ? DOCKER_HUB : undefined);
  const known = host === undefined ? undefined : upstreams.find((one) => one.name === host);
  const chosen = known ?? upstreams.find((one) => one.name === upstream);
  if (chosen !== undefined) return named(chosen, found.path, found.tag, text);
  const why = host === undefined ? 'has no host' : `${host} is no upstream of the configuration`;
  const add = host === undefined ? '' : 'add it there, or ';
  return {
    problem: `${text}: ${why}: ${add}say where it belongs with --upstream NAME or --as IMAGE (upstreams are ${listOf(upstreams)})`,
  };
}

/** Where an image of a bundle belongs, but for its tags. */
export function bundleName(
  { upstream: own, repository }: Pick<ImageName, 'upstream' | 'repository'>,
  { upstreams, upstream, as }: NamingOptions,
): Result {
  if (as !== undefined) {
    const given = nameGiven(as, upstreams, undefined);
    return 'problem' in given ? given : { ...given, tag: undefined };
  }
  const isKnown = (name: string | undefined) => upstreams.some((one) => one.name === name);
  const chosen = isKnown(own) ? own : upstream;
  if (chosen !== undefined && isKnown(chosen)) return { upstream: chosen, repository, tag: undefined };
  return {
    problem: `${own}/${repository}: ${own} is no upstream of the configuration: add it there, or say where it belongs with --upstream NAME (upstreams are ${listOf(upstreams)})`,
  };
}

/** For images of which an archive says nothing. */
export function namelessImage({ as, upstreams }: NamingOptions): Result {
  if (as === undefined) return { problem: 'it has no name: give it one with --as IMAGE' };
  return nameGiven(as, upstreams, undefined);
}

/** What `--as` or `--upstream` has wrong, for the user; `undefined` when nothing. */
export function namingProblem({ upstreams, upstream, as }: NamingOptions): string | undefined {
  if (upstream !== undefined && upstreams.every(({ name }) => name !== upstream))
    return `--upstream ${upstream}: not configured; there are ${listOf(upstreams)}`;
  if (as === undefined) return undefined;
  const name = nameGiven(as, upstreams, undefined);
  return 'problem' in name ? `--as ${as}: ${name.problem}` : undefined;
}

export function printImageName({ upstream, repository, tag }: ImageName): string {
  return `${upstream}/${repository}${tag === undefined ? '' : `:${tag}`}`;
}

const DOCKER_HUB = 'docker.io';
const HUB_ALIASES: ReadonlySet<string> = new Set(['index.docker.io', 'registry-1.docker.io']);

function nameGiven(as: string, upstreams: readonly NamedUpstream[], ownTag: string | undefined): Result {
  const split = splitUpstream(as, upstreams);
  if ('problem' in split) return split;
  const { path, tag } = splitTag(split.path);
  return named(split.upstream, path, tag ?? ownTag, as);
}

function named(upstream: NamedUpstream, path: string, tag: string | undefined, text: string): Result {
  const isShort = upstream.profile?.hubNames === true && !path.includes('/');
  const repository = isShort ? `library/${path}` : path;
  if (!isRepositoryName(repository))
    return { problem: `${text}: accepted is [upstream/]repository[:tag], in lower-case letters` };
  if (tag !== undefined && !isTag(tag)) return { problem: `${text}: ${JSON.stringify(tag)} is no tag` };
  return { upstream: upstream.name, repository, tag };
}

/** `undefined` when it is no reference. */
function splitReference(text: string): Reference | undefined {
  const bare = text.split('@', 1)[0] ?? '';
  const slash = bare.indexOf('/');
  const first = slash === -1 ? '' : bare.slice(0, slash);
  const isHost = /[.:]|^localhost$/.test(first);
  const { path, tag } = splitTag(isHost ? bare.slice(slash + 1) : bare);
  if (!isRepositoryName(path)) return undefined;
  const host = HUB_ALIASES.has(first) ? DOCKER_HUB : first;
  return { host: isHost ? host : undefined, path, tag };
}

function splitTag(path: string): { readonly path: string; readonly tag: string | undefined } {
  const bare = path.split('@', 1)[0] ?? '';
  const colon = bare.lastIndexOf(':');
  return colon === -1
    ? { path: bare, tag: undefined }
    : { path: bare.slice(0, colon), tag: bare.slice(colon + 1) };
}

function listOf(upstreams: readonly NamedUpstream[]): string {
  return upstreams.map(({ name }) => name).join(', ');
}
