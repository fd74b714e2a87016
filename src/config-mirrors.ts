import { type AuthConfig, authFrom } from './config-auth.ts';
import type { Bandwidth } from './config-bandwidth.ts';
import { profileFor, rateOf } from './config-profile.ts';
import type { RegistryProfile } from './config-profiles.ts';
import type { FileMirror } from './config-schema-upstream.ts';
import type { Surroundings } from './config-secret.ts';
import { tlsFrom, type UpstreamTls } from './config-tls.ts';

/** How hard a registry may be asked. */
export interface UpstreamLimits {
  /** Requests on their way at once. Absent: the built-in limit. */
  readonly connections?: number | undefined;
  /** Absent: no limit. */
  readonly requestsPerSecond?: number | undefined;
  /** GETs of manifests, which registries count as pulls. Absent: no limit. */
  readonly pullsPerSecond?: number | undefined;
  /** Of upstreams only: what its blobs may come in with. Absent: no limit. */
  readonly bandwidth?: Bandwidth | undefined;
  /** Of upstreams only: transfers of blobs at once that splitting large ones may lead to; 1: none is split. Absent: the built-in number. */
  readonly segments?: number | undefined;
  /** Of upstreams only; absent: the built-in one. */
  readonly pullReserve?: PullReserve | undefined;
}

/** What of a registry's allowance of pulls warming leaves to clients: so many, or a share (0 to 1) of it. */
export type PullReserve = { readonly pulls: number } | { readonly share: number };

/** A registry that has the same repositories as an upstream. */
export interface MirrorConfig {
  /** `http(s)://host[:port][/path]`, without a slash at the end. */
  readonly url: string;
  /** `host` or `host:port`, lower case. */
  readonly trustedHosts: readonly string[];
  readonly auth?: AuthConfig | undefined;
  readonly tls?: UpstreamTls | undefined;
  readonly limits?: UpstreamLimits | undefined;
  readonly profile: RegistryProfile;
}

/**
 * @param path the key path of `mirrors`
 * @param context.name the upstream's
 */
export function mirrorsFrom(
  written: readonly FileMirror[],
  path: readonly string[],
  { name, surroundings }: { readonly name: string; readonly surroundings: Surroundings },
): readonly MirrorConfig[] {
  const { problems } = surroundings;
  const urls = new Set<string>();
  return written.map(({ url, trustedHosts, auth: writtenAuth, tls: writtenTls, ...rest }, at) => {
    const place = [...path, String(at)];
    if (urls.has(url)) problems.add(place, 'is listed twice', url);
    urls.add(url);
    const auth = authFrom(writtenAuth, [...place, 'auth'], surroundings);
    const tls = tlsFrom({ tls: writtenTls, url }, [...place, 'tls'], surroundings);
    const profile = profileFor({ name, url }, rest.profile);
    const pullsPerSecond = rateOf(profile, writtenAuth !== undefined);
    const limits = { ...(pullsPerSecond !== undefined && { pullsPerSecond }), ...rest.limits };
    return {
      url,
      trustedHosts,
      profile,
      ...(auth && { auth }),
      ...(tls && { tls }),
      ...(Object.keys(limits).length > 0 && { limits }),
    };
  });
}
