import { parse as parseToml } from 'smol-toml';
import { parseAllDocuments } from 'yaml';
import { type CacheAddress, cacheAddress } from '../../src/client-setup/cache-address.ts';
import { clientRoutes, type RoutedUpstream } from '../../src/client-setup/client-routes.ts';
import type { ClientSetup } from '../../src/client-setup/client-setup.ts';
import { findClient } from '../../src/client-setup/clients.ts';
import { certificateAuthority } from '../upstream/certificates.ts';

type Tree = Readonly<Record<string, unknown>>;

export function upstream(name: string, more: Partial<RoutedUpstream> = {}): RoutedUpstream {
  const url = name === 'docker.io' ? 'https://registry-1.docker.io' : `https://${name}`;
  return { name, url, default: false, prefixes: name.includes(':') ? [] : [name], hosts: [], ...more };
}

/** One of each kind: the default, an ordinary one, one with a port, one that is no host name, one with its own host. */
export const upstreams: readonly RoutedUpstream[] = [
  upstream('docker.io', { default: true, prefixes: ['docker.io', 'index.docker.io'] }),
  upstream('quay.io'),
  upstream('registry.internal:5000'),
  upstream('internal', { url: 'http://10.0.0.1:5000' }),
  upstream('own.example.com', { prefixes: [], hosts: ['own.mirror.local'] }),
];

export const cacheUrls = {
  http: 'http://cache.example.com:5000',
  https: 'https://cache.example.com',
} as const;
export type Scheme = keyof typeof cacheUrls;

/** A cache that clients elsewhere reach; over https with an authority of its own. */
export function cacheAt(scheme: Scheme): CacheAddress {
  return cacheAddress({
    publicUrl: cacheUrls[scheme],
    listen: { scheme: 'http', host: '0.0.0.0', port: 5000 },
    hostname: 'machine',
    ca: scheme === 'https' ? certificateAuthority : undefined,
  });
}

/** @throws when there is no such client */
export function setupOf(
  client: string,
  cache: CacheAddress,
  {
    of = upstreams,
    catchAll = false,
  }: { readonly of?: readonly RoutedUpstream[]; readonly catchAll?: boolean } = {},
): ClientSetup {
  const found = findClient(client);
  if (found === undefined) throw new Error(`no client ${client}`);
  return found.setup({ cache, routes: clientRoutes(of, cache), catchAll });
}

/** @throws when there is no such file */
export function textOf(setup: ClientSetup, path: string): string {
  const file = setup.files.find((candidate) => candidate.path === path);
  if (file === undefined)
    throw new Error(`no ${path} among ${setup.files.map((other) => other.path).join(', ')}`);
  return file.content;
}

export function tomlOf(setup: ClientSetup, path: string): Tree {
  return parseToml(textOf(setup, path));
}

/** Every document. @throws on what is not YAML */
export function yamlOf(setup: ClientSetup, path: string): readonly Tree[] {
  return parseAllDocuments(textOf(setup, path)).map((document) => {
    if ('errors' in document && document.errors.length > 0) throw document.errors[0];
    return (document as { toJS(): Tree }).toJS();
  });
}

export function jsonOf(setup: ClientSetup, path: string): Tree {
  return JSON.parse(textOf(setup, path)) as Tree;
}
