import { z } from 'zod';
import { boolean, hosts, lifetime, mapping, prefixes, text, url } from './config-values.ts';

const auth = mapping({
  username: text.describe('User name.').optional(),
  usernameFile: text.describe('A file that holds the user name.').optional(),
  password: text.describe('Password or access token.').optional(),
  passwordFile: text.describe('A file that holds the password or access token.').optional(),
}).describe('Credentials for this registry. They go to it and to its own token service only.');

const tls = mapping({
  ca: text.describe("PEM file of the authorities to trust, in place of the system's.").optional(),
  cert: text.describe('PEM file of the client certificate.').optional(),
  key: text.describe("PEM file of the client certificate's key.").optional(),
  insecure: boolean.describe('true: the certificates of this registry are not checked.').prefault(false),
}).describe('TLS towards this registry.');

/** What stands under the name of an upstream. */
export const upstreamSchema = mapping({
  url: url
    .describe('Where the registry is. Default: https://<name>; docker.io: https://registry-1.docker.io.')
    .optional(),
  default: boolean
    .describe(
      'Answers requests that name no upstream. Default: true for docker.io where no other upstream is it.',
    )
    .optional(),
  prefixes: prefixes
    .describe('First path segments that name this upstream. Default: its name, where that can be one.')
    .optional(),
  hosts: hosts.describe('Host headers that name this upstream.').prefault([]),
  trustedHosts: hosts
    .describe(
      'Private addresses that its redirects may lead to, and foreign hosts that may be its token realm.',
    )
    .prefault([]),
  auth: auth.optional(),
  tls: tls.optional(),
  tagTtl: lifetime().describe("Like cache.tagTtl, which is this one's default.").optional(),
  maxStale: lifetime().describe("Like cache.maxStale, which is this one's default.").optional(),
});

export type FileUpstream = z.output<typeof upstreamSchema>;
export type FileAuth = z.output<typeof auth>;
