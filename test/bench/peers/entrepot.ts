import { startEntrepot } from '../entrepot-process.ts';
import type { Peer } from './peer.ts';

/** The product among its peers: the built program, as it is without any configuration but its upstream. */
export const entrepotPeer: Peer = {
  name: 'entrepot',
  says: 'as it is by default, its log in a file',
  limits: {},
  isOurs: true,
  async find() {
    return { file: process.execPath, version: `Node ${process.version}` };
  },
  async start({ dir, upstreamUrl }) {
    return { ...(await startEntrepot({ dir, upstreamUrl })), name: 'entrepot' };
  },
};
