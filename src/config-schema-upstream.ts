import { z } from 'zod';
import { nearest } from './config-problem.ts';
import { PROFILE_NAMES } from './config-profiles.ts';
import { authSchema } from './config-schema-auth.ts';
import { proxySchema } from './config-schema-proxy.ts';
import { immutableTags, limits, patterns, stale, upstreamLimits } from './config-schema-rules.ts';
import {
  boolean,
  count,
  hosts,
  lifetime,
  mapping,
  maxSize,
  prefixes,
  rate,
  text,
  url,
} from './config-values.ts';

const tls = mapping({
  ca: text.describe("PEM file of the authorities to trust, in place of the system's.").optional(),
  cert: text.describe('PEM file of the client certificate.').optional(),
  key: text.describe("PEM file of the client certificate's key.").optional(),
  insecure: boolean.describe('true: the certificates of this registry are not checked.').prefault(false),
}).describe('TLS towards this registry.');

const profileNames = `accepted is one of ${PROFILE_NAMES.join(', ')}`;

/** Also written as the name of a profile alone. */
export const profileSchema = mapping({
  base: z
    .enum(PROFILE_NAMES, {
      error: ({ input }) =>
        typeof input === 'string' ? `${profileNames}; ${nearest(input, PROFILE_NAMES)}` : profileNames,
    })
    .describe('The kind of registry that this is. Default: known from its host name, else generic.')
    .optional(),
  hubNames: boolean
    .describe('true: one-component names are short for library/…, as at Docker Hub.')
    .optional(),
  referrers: boolean
    .describe('false: it has no referrers API; clients are told so without asking it.')
    .optional(),
  headBlobs: boolean
    .describe("false: a blob's HEAD is refused or not to be trusted; one byte is asked for instead.")
    .optional(),
  tagsPerPage: count(10_000).describe('How many tags are asked for at once; 0: as it likes.').optional(),
  hidesMissing: boolean
    .describe('true: 401 and 403 may mean that a repository does not exist, with credentials too.')
    .optional(),
  textManifests: boolean.describe('true: its manifests may come as text/plain.').optional(),
  tokenHosts: hosts
    .describe('Hosts of its token service on another domain, which may see the credentials.')
    .optional(),
  pullsPerSecond: rate.describe('How many manifests per second it lets us fetch.').optional(),
}).describe('What is special about this registry: the name of a profile, or changes to one.');
const trustedHosts = hosts
  .describe(
    'Private addresses that its redirects may lead to, and foreign hosts that may be its token realm.',
  )
  .prefault([]);

/** What can be said of an upstream and, in other words, of some of its repositories. */
const rules = {
  auth: authSchema.optional(),
  tagTtl: lifetime().describe("Like cache.tagTtl, which is this one's default.").optional(),
  maxStale: lifetime().describe("Like cache.maxStale, which is this one's default.").optional(),
  immutableTags: immutableTags
    .describe('Tags that never move: once they are here, the upstream is not asked about them again.')
    .optional(),
  stale: stale.optional(),
};

const mirrorError = 'accepted is http(s)://host[:port][/path], or a mapping with url';
const mirror = z.union(
  [
    url.transform((written) => ({
      url: written,
      trustedHosts: [] as string[],
      auth: undefined,
      tls: undefined,
      limits: undefined,
      profile: undefined,
    })),
    mapping({
      url: url.describe('Where the mirror is.'),
      trustedHosts,
      auth: authSchema.optional(),
      profile: profileSchema.optional(),
      tls: tls.optional(),
      limits: limits.optional(),
    }),
  ],
  { error: mirrorError },
);

/** What stands under the name of an upstream. */
export const upstreamSchema = mapping({
  url: url
    .describe('Where the registry is. Default: https://<name>; docker.io: https://registry-1.docker.io.')
    .optional(),
  mirrors: z
    .array(mirror, { error: 'accepted is a list of mirrors' })
    .max(10, { error: 'accepted are 10 mirrors at most' })
    .describe('Registries that have the same repositories, tried in this order before url.')
    .prefault([]),
  default: boolean
    .describe(
      'Answers requests that name no upstream. Default: true for docker.io where no other upstream is it.',
    )
    .optional(),
  prefixes: prefixes
    .describe('First path segments that name this upstream. Default: its name, where that can be one.')
    .optional(),
  hosts: hosts.describe('Host headers that name this upstream.').prefault([]),
  trustedHosts,
  profile: profileSchema.optional(),
  tls: tls.optional(),
  proxy: proxySchema
    .describe('In place of the top-level proxy; none: this registry is reached directly.')
    .optional(),
  limits: upstreamLimits.optional(),
  offline: boolean
    .describe('true: it is never asked; false: it is, although the top-level offline is true.')
    .optional(),
  maxSize: maxSize
    .describe('What its blobs may take of the cache: bytes, KiB/MiB/GiB/TiB, or a share of cache.maxSize.')
    .optional(),
  allow: patterns.describe('Only these repositories are served. Default: all.').optional(),
  deny: patterns.describe('These repositories are not served, whatever allow says.').prefault([]),
  ...rules,
  repositories: z
    .record(z.string(), mapping(rules), { error: 'accepted is a mapping from patterns to rules' })
    .describe(
      'Other rules for some repositories, by pattern; each setting is that of the most specific one that has it.',
    )
    .prefault({}),
});

export type FileUpstream = z.output<typeof upstreamSchema>;
export type FileRules = FileUpstream['repositories'][string];
export type FileMirror = FileUpstream['mirrors'][number];
export type FileProfile = z.output<typeof profileSchema>;
export type FileTls = z.output<typeof tls>;
