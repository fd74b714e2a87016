import { distribution3, dockerRegistry } from './distribution.ts';
import { entrepotPeer } from './entrepot.ts';
import { nginxCache } from './nginx-cache.ts';
import type { Contestant, Missing, Peer } from './peer.ts';
import { zot } from './zot.ts';

const PEERS: readonly Peer[] = [entrepotPeer, dockerRegistry, distribution3, zot, nginxCache];

/** What `findPeers` takes. */
export const PEER_NAMES: readonly string[] = PEERS.map(({ name }) => name);

export interface PeersHere {
  /** entrepot first. */
  readonly contestants: readonly Contestant[];
  readonly missing: readonly (Missing & { readonly name: string })[];
}

/** Who can be measured on this machine, and who cannot; entrepot and only those that are named, where any are. */
export async function findPeers(names?: readonly string[]): Promise<PeersHere> {
  const wanted = PEERS.filter((peer) => peer === entrepotPeer || (names?.includes(peer.name) ?? true));
  const found = await Promise.all(wanted.map(async (peer) => ({ peer, result: await peer.find() })));
  return {
    contestants: found.flatMap(({ peer, result }) => ('file' in result ? [{ peer, found: result }] : [])),
    missing: found.flatMap(({ peer: { name }, result }) =>
      'missing' in result ? [{ name, ...result }] : [],
    ),
  };
}
