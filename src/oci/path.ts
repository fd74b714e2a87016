import { type Digest, parseDigest } from './digest.ts';
import { OciError } from './error.ts';
import { type Reference, parseReference } from './reference.ts';

/** What a target asks for. `path` is the repository part as the client wrote it: an upstream's prefix may lead it. */
export type Endpoint =
  | { readonly kind: 'base' }
  | { readonly kind: 'manifest'; readonly path: string; readonly reference: Reference }
  | { readonly kind: 'blob'; readonly path: string; readonly digest: Digest }
  | {
      readonly kind: 'tags';
      readonly path: string;
      readonly count?: number | undefined;
      readonly last?: string | undefined;
    }
  | {
      readonly kind: 'referrers';
      readonly path: string;
      readonly digest: Digest;
      readonly artifactTypes: readonly string[];
    };

/** A request target of the distribution API's pull side, parsed once. */
export interface DistributionTarget {
  readonly endpoint: Endpoint;
  /** The one path segment before `/v2`, where there is one. */
  readonly leading: string | undefined;
  /** The `ns` parameter: the registry that a containerd-like client means. Grammar checked, not looked up. */
  readonly ns: string | undefined;
}

/**
 * A larger `n` is answered with this many tags and a link. Without `n` all are sent, as the specification asks; their
 * number is bounded where they come from.
 */
export const TAG_PAGE_LIMIT = 1000;

const HOST = /^[a-zA-Z0-9](?:[a-zA-Z0-9.-]{0,253}[a-zA-Z0-9])?(?::[0-9]{1,5})?$/;
const LAST_LENGTH_LIMIT = 256;

/**
 * Parses a raw request target (`req.url`). Never goes through `URL`, which folds dots, `%2e` and backslashes.
 * Names may hold `blobs`, `manifests`, `tags` and `referrers`, so the path is split from its right end.
 * @returns `undefined` when the target is no endpoint of the pull side (→ 404).
 * @throws OciError when it is one with a part that breaks the grammar (→ 400).
 */
export function parseTarget(target: string): DistributionTarget | undefined {
  const question = target.indexOf('?');
  const path = question < 0 ? target : target.slice(0, question);
  const segments = plainSegments(path);
  const leading = segments[0] === 'v2' ? undefined : segments.shift();
  if (segments.shift() !== 'v2') return undefined;
  const query = new URLSearchParams(question < 0 ? '' : target.slice(question + 1));
  const endpoint = parseEndpoint(segments, query);
  return endpoint && { endpoint, leading, ns: parseNs(query) };
}

function plainSegments(path: string): string[] {
  if (!path.startsWith('/')) throw new OciError('NAME_INVALID', 'the request target must be a path');
  if (!/^[a-zA-Z0-9/:._=+-]*$/.test(path)) {
    throw new OciError('NAME_INVALID', 'the path holds a character that no name, tag or digest can have');
  }
  const segments = path.slice(1).split('/');
  const last = segments.length - 1;
  if (segments.some((segment, at) => segment === '.' || segment === '..' || (segment === '' && at < last))) {
    throw new OciError('NAME_INVALID', 'the path holds an empty or dotted segment');
  }
  return segments;
}

function parseEndpoint(segments: readonly string[], query: URLSearchParams): Endpoint | undefined {
  if (segments.length === 0 || (segments.length === 1 && segments[0] === '')) return { kind: 'base' };
  const last = segments.at(-1) ?? '';
  const verb = segments.at(-2);
  const path = segments.slice(0, -2).join('/');
  if (path === '') return undefined;
  if (verb === 'manifests') return { kind: 'manifest', path, reference: parseReference(last) };
  if (verb === 'blobs') return { kind: 'blob', path, digest: parseDigest(last) };
  if (verb === 'tags' && last === 'list') return { kind: 'tags', path, ...parsePaging(query) };
  if (verb === 'referrers') {
    return {
      kind: 'referrers',
      path,
      digest: parseDigest(last),
      artifactTypes: query.getAll('artifactType'),
    };
  }
  return undefined;
}

function parsePaging(query: URLSearchParams): { count?: number | undefined; last?: string | undefined } {
  const count = single(query, 'n');
  const last = single(query, 'last');
  if (count !== undefined && !/^[0-9]{1,9}$/.test(count)) {
    throw new OciError('PAGINATION_NUMBER_INVALID', 'n is a whole number, 0 or more');
  }
  if (last !== undefined && last.length > LAST_LENGTH_LIMIT) {
    throw new OciError('PAGINATION_NUMBER_INVALID', `last is a tag, ${LAST_LENGTH_LIMIT} characters at most`);
  }
  return { count: count === undefined ? undefined : Math.min(Number(count), TAG_PAGE_LIMIT), last };
}

function parseNs(query: URLSearchParams): string | undefined {
  const ns = single(query, 'ns');
  if (ns !== undefined && !HOST.test(ns))
    throw new OciError('NAME_INVALID', 'ns is a registry host, host[:port]');
  return ns;
}

function single(query: URLSearchParams, key: 'n' | 'last' | 'ns'): string | undefined {
  const values = query.getAll(key);
  if (values.length <= 1) return values[0];
  const code = key === 'ns' ? 'NAME_INVALID' : 'PAGINATION_NUMBER_INVALID';
  throw new OciError(code, `${key} is given more than once`);
}
