import {
  clientListener,
  type Config,
  type ListenAddress,
  type ListenerConfig,
  offlineUpstreams,
  printListen,
} from '../config.ts';
import { workerCount } from '../fronts/worker-count.ts';

/** What is said once the server listens: for people, and the same for machines. */
export interface Announcement {
  readonly lines: readonly string[];
  readonly facts: Readonly<Record<string, unknown>>;
}

export interface ListeningAddresses {
  /** In the order of `config.listeners`. */
  readonly registry: readonly ListenAddress[];
  readonly admin: ListenAddress;
}

/** `hostname` stands in for an address that means every interface. */
export function announcement(
  config: Config,
  addresses: ListeningAddresses,
  { version, hostname }: { readonly version: string; readonly hostname: string },
): Announcement {
  const listeners = addresses.registry.map((address, at) => originOf(config.listeners[at], address));
  const [registry = ''] = listeners;
  const told = listeners[config.listeners.indexOf(clientListener(config.listeners))] ?? registry;
  const admin = originOf(config.admin.listen, addresses.admin);
  const offline = offlineUpstreams(config);
  const isAllOffline = offline.length === config.upstreams.length;
  const upstreams = config.upstreams.map(({ name, default: isDefault }) => {
    const what = [isDefault ? 'default' : '', !isAllOffline && offline.includes(name) ? 'offline' : ''];
    const words = what.filter((word) => word !== '').join(', ');
    return words === '' ? name : `${name} (${words})`;
  });
  const limit = printLimit(config.cache.maxSize);
  const daemon = daemonConfig(config, told, hostname);
  const workers = workerCount(config.workers);
  const isAuto = config.workers === 'auto';
  return {
    lines: [
      `entrepot ${version}`,
      `  registry   ${listeners.join(', ')}${config.publicUrl === undefined ? '' : `, for clients ${config.publicUrl}`}`,
      `  admin      ${admin}`,
      ...(workers > 1 || isAuto ? [`  workers    ${workers}${isAuto ? ' (auto)' : ''}`] : []),
      `  upstreams  ${upstreams.join(', ')}${isAllOffline ? ' (offline: none is asked)' : ''}`,
      `  data       ${config.dataDir}, ${limit} at most`,
      ...(daemon === undefined
        ? []
        : [
            '',
            'To make a Docker daemon use it, put this into /etc/docker/daemon.json and restart it:',
            `  ${daemon}`,
            'For other clients and registries: entrepot setup --list',
          ]),
      '',
    ],
    facts: {
      version,
      registry,
      ...(listeners.length > 1 && { listeners }),
      admin,
      workers,
      ...(config.publicUrl !== undefined && { publicUrl: config.publicUrl }),
      upstreams: config.upstreams.map(({ name }) => name),
      ...(offline.length > 0 && { offline }),
      dataDir: config.dataDir,
      limit,
      ...(daemon !== undefined && { dockerDaemonJson: daemon }),
    },
  };
}

/**
 * The daemon asks its mirrors for Docker Hub's content only, so without Docker Hub as the default upstream there is
 * nothing to say. Plain http is accepted from a loopback address or where it is listed as insecure.
 */
function daemonConfig(config: Config, registry: string, hostname: string): string | undefined {
  if (!config.upstreams.some((upstream) => upstream.default && upstream.name === 'docker.io'))
    return undefined;
  const mirror = new URL(config.publicUrl ?? registry);
  const everywhere = mirror.hostname === '0.0.0.0' || mirror.hostname === '[::]';
  if (everywhere) mirror.hostname = hostname;
  const loopback = /^(?:127\.|localhost$|\[::1\]$)/.test(mirror.hostname);
  const insecure = mirror.protocol === 'http:' && !loopback;
  return JSON.stringify({
    'registry-mirrors': [mirror.origin],
    ...(insecure && { 'insecure-registries': [mirror.host] }),
  });
}

function originOf(config: ListenerConfig | undefined, address: ListenAddress): string {
  return `${config?.tls === undefined ? 'http' : 'https'}://${printListen(address)}`;
}

function printLimit(maxSize: Config['cache']['maxSize']): string {
  if ('share' in maxSize) return `${Number((maxSize.share * 100).toFixed(2))}% of its disk`;
  const units = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB'];
  const power = Math.min(units.length - 1, Math.floor(Math.log2(maxSize.bytes) / 10));
  return `${Number((maxSize.bytes / 1024 ** power).toFixed(1))} ${units[power]}`;
}
