import type { CacheAddress } from './cache-address.ts';
import { cacheHosts, type ClientRoute } from './client-routes.ts';

/** One file that a client reads. */
export interface SetupFile {
  /** Absolute; `~/…`: below the user's home; else relative to where the client's command is run. */
  readonly path: string;
  readonly content: string;
  /** Permissions, octal. */
  readonly mode: '0644';
  /** True: what is here belongs into a file that may hold more already. */
  readonly merge: boolean;
}

/** All there is to do to point one client at the cache. */
export interface ClientSetup {
  readonly files: readonly SetupFile[];
  /** Commands and sentences, in order. */
  readonly steps: readonly string[];
  /** What the client cannot do, and what to do instead. */
  readonly limits: readonly string[];
}

export interface SetupRequest {
  readonly cache: CacheAddress;
  /** At least one. */
  readonly routes: readonly ClientRoute[];
  /** One entry for every registry in place of one for each, where the client knows such an entry. */
  readonly catchAll: boolean;
}

/** A client that can be set up. */
export interface Client {
  readonly id: string;
  readonly aliases: readonly string[];
  /** For the list. */
  readonly title: string;
  readonly setup: (request: SetupRequest) => ClientSetup;
}

export function setupFile(path: string, content: string, { merge = false } = {}): SetupFile {
  return { path, content, mode: '0644', merge };
}

/** The authority's file, where there is one. */
export function authorityFile(path: string, { ca }: CacheAddress): readonly SetupFile[] {
  return ca === undefined ? [] : [setupFile(path, `${ca.trimEnd()}\n`)];
}

/** The authority's file in the directory of each host, as Docker and containers/image look for it. */
export function authorityFiles(
  directory: string,
  { cache, routes }: Pick<SetupRequest, 'cache' | 'routes'>,
): readonly SetupFile[] {
  return cacheHosts(cache, routes).flatMap((host) => authorityFile(`${directory}/${host}/ca.crt`, cache));
}
