import { buildkit } from './buildkit.ts';
import { ciClients } from './ci.ts';
import type { Client } from './client-setup.ts';
import { containerdClients } from './containerd.ts';
import { registriesConfClients } from './containers-registries.ts';
import { directClients } from './direct-reference.ts';
import { dockerd } from './dockerd.ts';
import { k3sClients } from './k3s.ts';
import { openshift } from './openshift.ts';
import { talos } from './talos.ts';

/** Every client that can be set up. */
export const CLIENTS: readonly Client[] = [
  dockerd,
  ...containerdClients,
  ...registriesConfClients,
  buildkit,
  ...k3sClients,
  talos,
  openshift,
  ...directClients,
  ...ciClients,
];

/** By its name or another one that it has. */
export function findClient(name: string): Client | undefined {
  return CLIENTS.find(({ id, aliases }) => id === name || aliases.includes(name));
}
