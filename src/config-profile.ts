import type { FileProfile, FileUpstream } from './config-schema-upstream.ts';
import { GENERIC, KNOWN_REGISTRIES, type KnownRegistry, type RegistryProfile } from './config-profiles.ts';

/** The table's entry for a host name, with or without a port. `undefined` when it is none of the known ones. */
export function knownRegistry(host: string): KnownRegistry | undefined {
  const hostname = host.toLowerCase().replace(/:\d+$/, '');
  return KNOWN_REGISTRIES.find(({ hosts }) => hosts?.test(hostname));
}

/**
 * The profile of an upstream: the chosen one, else that of the host it is asked at, else `generic`; with the changes that
 * the configuration makes. Names are Docker Hub's where either its name or its host says so, wherever it is asked.
 */
export function profileFor(
  { name, url }: { readonly name: string; readonly url: string },
  written?: FileProfile,
): RegistryProfile {
  const { base, ...changes } = written ?? {};
  const entry =
    base === undefined
      ? knownRegistry(new URL(url).host)
      : KNOWN_REGISTRIES.find((known) => known.name === base);
  const profile: RegistryProfile = { ...GENERIC, ...entry?.facts, name: entry?.name ?? GENERIC.name };
  const hubNames = profile.hubNames || knownRegistry(name)?.facts.hubNames === true;
  const { pullsPerSecond: rate, ...changed } = given(changes);
  return {
    ...profile,
    hubNames,
    ...changed,
    ...(rate !== undefined && { pullsPerSecond: { anonymous: rate, authenticated: rate } }),
  };
}

/** Requests per second that a registry allows, by whether we sign in. `undefined`: no limit is known. */
export function rateOf({ pullsPerSecond }: RegistryProfile, signsIn: boolean): number | undefined {
  return signsIn ? pullsPerSecond?.authenticated : pullsPerSecond?.anonymous;
}

/**
 * `profile: harbor` is short for `profile: { base: harbor }`, in mirrors too. Changes `upstreams` in place; takes
 * anything.
 */
export function expandProfiles(upstreams: unknown): void {
  if (typeof upstreams !== 'object' || upstreams === null) return;
  for (const upstream of Object.values(upstreams) as unknown[]) {
    if (typeof upstream !== 'object' || upstream === null) continue;
    const written = upstream as FileUpstreamText;
    if (typeof written.profile === 'string') written.profile = { base: written.profile };
    if (Array.isArray(written.mirrors)) expandProfiles(written.mirrors);
  }
}

type FileUpstreamText = Partial<Record<keyof FileUpstream, unknown>>;

/** The keys that were written. */
function given<T extends object>(changes: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(changes).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };
}
