import { type Config, offlineUpstreams, type UpstreamConfig } from '../config.ts';
import { isLoopback } from '../config-listen.ts';

/** What is known of the data directory; absent where it cannot be told. */
export interface DataFacts {
  /** Of the file system that holds it. */
  readonly diskBytes: number | undefined;
  /** Of what is stored and never evicted. */
  readonly pinnedBytes?: number | undefined;
}

/** What may be meant, and is likely to be a mistake all the same. */
export function configWarnings(config: Config, { diskBytes, pinnedBytes }: DataFacts): readonly string[] {
  return [
    ...listenerWarnings(config),
    ...(config.upstreams.some((upstream) => upstream.default)
      ? []
      : [
          'no upstream is the default: requests that name none, as those of registry-mirrors do, are answered 404',
        ]),
    ...diskWarnings(config, diskBytes),
    ...pinWarnings(config, { diskBytes, pinnedBytes }),
    ...offlineWarnings(config),
    ...config.upstreams.flatMap((upstream) =>
      upstreamWarnings(upstream).map((warning) => `upstreams.${upstream.name}: ${warning}`),
    ),
  ];
}

function offlineWarnings(config: Config): readonly string[] {
  const offline = offlineUpstreams(config);
  if (config.offline && offline.length === config.upstreams.length)
    return ['offline is true: no upstream is ever asked'];
  return offline.map((name) => `upstreams.${name}: it is offline, and never asked`);
}

function listenerWarnings({ listeners, admin, publicUrl }: Config): readonly string[] {
  const open = listeners.filter(({ host }) => !isLoopback(host));
  const isOpen = open.length > 0;
  // Whatever gives https to clients may stand in front of it.
  const isPlain = open.some(({ tls }) => tls === undefined) && publicUrl?.startsWith('https:') !== true;
  return [
    ...(isOpen && publicUrl === undefined
      ? [
          'publicUrl is missing while it listens beyond loopback: `entrepot setup` can only guess what clients reach it by',
        ]
      : []),
    ...(isOpen && publicUrl !== undefined && isLoopbackUrl(publicUrl)
      ? ['publicUrl is a loopback address while it listens beyond loopback: other machines cannot use it']
      : []),
    ...(!isOpen && publicUrl === undefined
      ? ['it listens on loopback only: no other machine and no container reaches it']
      : []),
    ...(isPlain ? ['it listens beyond loopback over plain http: clients must be told that they may'] : []),
    ...(isLoopback(admin.listen.host) || admin.listen.tls !== undefined
      ? []
      : ['admin listens beyond loopback over plain http: its token can be read on the way']),
  ];
}

function diskWarnings({ cache }: Config, diskBytes: number | undefined): readonly string[] {
  if (diskBytes === undefined || 'share' in cache.maxSize || cache.maxSize.bytes <= diskBytes) return [];
  return [
    `cache.maxSize is larger than the disk that holds dataDir (${Math.floor(diskBytes / 2 ** 30)} GiB): the disk is the limit, but for cache.minFreeSpace`,
  ];
}

function pinWarnings(
  { cache }: Config,
  { diskBytes = Infinity, pinnedBytes = 0 }: DataFacts,
): readonly string[] {
  const { maxSize } = cache;
  const maxBytes = 'bytes' in maxSize ? maxSize.bytes : maxSize.share * diskBytes;
  if (pinnedBytes <= maxBytes) return [];
  const pinned = `${Math.ceil(pinnedBytes / 2 ** 20)} MiB`;
  return [`cache.maxSize is below what is pinned (${pinned}): nothing else can be stored`];
}

function upstreamWarnings({
  url,
  auth,
  tls,
  prefixes,
  hosts,
  default: isDefault,
}: UpstreamConfig): readonly string[] {
  return [
    ...(url.startsWith('http:') && auth !== undefined && !isLoopbackUrl(url)
      ? ['credentials are sent over plain http']
      : []),
    ...(tls?.insecure === true ? ['tls.insecure: whoever is in between can read and answer for it'] : []),
    ...(prefixes.length === 0 && hosts.length === 0 && !isDefault
      ? ['it has no prefix and no host of its own: only clients that send ns can ask for it']
      : []),
  ];
}

function isLoopbackUrl(url: string): boolean {
  return isLoopback(new URL(url).hostname.replace(/^\[(.*)\]$/, '$1'));
}
