import type { Config, ListenAddress } from '../config.ts';

/** What is said once the server listens: for people, and the same for machines. */
export interface Announcement {
  readonly lines: readonly string[];
  readonly facts: Readonly<Record<string, unknown>>;
}

export interface ListeningAddresses {
  readonly registry: ListenAddress;
  readonly admin: ListenAddress;
}

/** `hostname` stands in for an address that means every interface. */
export function announcement(
  config: Config,
  addresses: ListeningAddresses,
  { version, hostname }: { readonly version: string; readonly hostname: string },
): Announcement {
  const registry = `http://${printAddress(addresses.registry)}`;
  const admin = `http://${printAddress(addresses.admin)}`;
  const upstreams = config.upstreams.map(({ name, default: isDefault }) =>
    isDefault ? `${name} (default)` : name,
  );
  const limit = printLimit(config.cache.maxSize);
  const daemon = daemonConfig(config, addresses.registry, hostname);
  return {
    lines: [
      `entrepot ${version}`,
      `  registry   ${registry}${config.publicUrl === undefined ? '' : `, for clients ${config.publicUrl}`}`,
      `  admin      ${admin}`,
      `  upstreams  ${upstreams.join(', ')}${config.offline ? ' (offline: none is asked)' : ''}`,
      `  data       ${config.dataDir}, ${limit} at most`,
      ...(daemon === undefined
        ? []
        : [
            '',
            'To make a Docker daemon use it, put this into /etc/docker/daemon.json and restart it:',
            `  ${daemon}`,
          ]),
      '',
    ],
    facts: {
      version,
      registry,
      admin,
      ...(config.publicUrl !== undefined && { publicUrl: config.publicUrl }),
      upstreams: config.upstreams.map(({ name }) => name),
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
function daemonConfig(config: Config, registry: ListenAddress, hostname: string): string | undefined {
  if (!config.upstreams.some((upstream) => upstream.default && upstream.name === 'docker.io'))
    return undefined;
  const everywhere = registry.host === '0.0.0.0' || registry.host === '::';
  const own = printAddress(everywhere ? { host: hostname, port: registry.port } : registry);
  const mirror = new URL(config.publicUrl ?? `http://${own}`);
  const loopback = /^(?:127\.|localhost$|\[::1\]$)/.test(mirror.hostname);
  const insecure = mirror.protocol === 'http:' && !loopback;
  return JSON.stringify({
    'registry-mirrors': [mirror.origin],
    ...(insecure && { 'insecure-registries': [mirror.host] }),
  });
}

function printAddress({ host, port }: ListenAddress): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`;
}

function printLimit(maxSize: Config['cache']['maxSize']): string {
  if ('share' in maxSize) return `${Number((maxSize.share * 100).toFixed(2))}% of its disk`;
  const units = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB'];
  const power = Math.min(units.length - 1, Math.floor(Math.log2(maxSize.bytes) / 10));
  return `${Number((maxSize.bytes / 1024 ** power).toFixed(1))} ${units[power]}`;
}
