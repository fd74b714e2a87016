import { isIP, type LookupFunction, type Socket } from 'node:net';
import {
  createSecureContext,
  rootCertificates,
  type SecureContext,
  type SecureContextOptions,
} from 'node:tls';
import type { buildConnector as Connecting } from 'undici';
import type { ProxyServer, UpstreamConfig } from '../config.ts';
import { isPublicName, isSpecialAddress, publicLookup, refusedAddress } from './address-guard.ts';
import { connectionError } from './connection-error.ts';
import { bareHostname, type HostTrust } from './host-trust.ts';
import type { ProxyRoute } from './proxy-route.ts';
import { ProxyTunnel } from './proxy-tunnel.ts';
import { plainReads, tlsReads } from './read-blocks.ts';
import { buildConnector } from './undici-parts.ts';

const CONNECT_TIMEOUT_MS = 5_000;
const KEEP_ALIVE_PROBE_MS = 30_000;

/** undici's BuildOptions leaves these options of `net.connect` and `tls.connect` to its union; we name what we use. */
interface ConnectOptions {
  readonly secureContext?: SecureContext;
  readonly rejectUnauthorized?: boolean;
  readonly lookup?: LookupFunction;
}

export interface ConnectorContext {
  readonly route: ProxyRoute;
  /** The upstream's, for messages: `upstreams.quay.io`. */
  readonly keyPath: string;
  /** Ends at once what is being opened through a proxy. */
  readonly closing: AbortSignal;
}

/**
 * How sockets of one upstream are opened.
 * - The upstream's own host and port: at any address, with all of the upstream's TLS settings.
 * - Its host at another port: with its authority and `insecure`, but without the client certificate.
 * - A trusted host: at any address; the upstream's authority is accepted beside the system's; never `insecure`.
 * - Any other: at public addresses only (checked in the look-up, on literals, and on the connected socket), with the
 *   system's authorities.
 * Through a proxy the same holds, but for names that the proxy resolves: of those, only such as nobody can register are
 * refused. The proxy itself may be anywhere.
 */
export function createConnector(
  trust: HostTrust,
  tls: UpstreamConfig['tls'],
  lookup: LookupFunction | undefined,
  { route, ...context }: ConnectorContext,
): Connecting.connector {
  const { ca, cert, key } = tls ?? {};
  const insecure = tls?.insecure === true ? { rejectUnauthorized: false } : {};
  const own = { ...insecure, ...contextOf({ ca, cert, key }) };
  const withoutCertificate = { ...insecure, ...contextOf({ ca }) };
  const alsoSystem = contextOf(ca === undefined ? {} : { ca: [...rootCertificates, ca] });
  const anywhere = lookup === undefined ? {} : { lookup };
  const publicOnly = { lookup: publicLookup(lookup) };
  const ways: Readonly<Record<Way, Means>> = {
    upstream: { options: { ...own, ...anywhere }, guarded: false },
    trusted: { options: { ...alsoSystem, ...anywhere }, guarded: false },
    ownHostForeignPort: { options: { ...withoutCertificate, ...publicOnly }, guarded: true },
    ownHostTrustedPort: { options: { ...withoutCertificate, ...anywhere }, guarded: false },
    foreign: { options: publicOnly, guarded: true },
  };
  const direct = mapped(ways, ({ options, guarded: isGuarded }) =>
    isGuarded ? guarded(connector(options)) : connector(options),
  );
  const tunnels = new Map<ProxyServer, Readonly<Record<Way, Connecting.connector>>>();
  const through = (server: ProxyServer): Readonly<Record<Way, Connecting.connector>> => {
    const known = tunnels.get(server);
    if (known !== undefined) return known;
    const tunnel = new ProxyTunnel(server, context);
    const connectors = mapped(ways, (means) => tunnelled(tunnel, means));
    tunnels.set(server, connectors);
    return connectors;
  };
  return (options, callback) => {
    const port = options.port === '' ? (options.protocol === 'https:' ? 443 : 80) : Number(options.port);
    const place = { hostname: options.hostname, port };
    const server = route.serverFor(options.protocol, place);
    const connectors = server === undefined ? direct : through(server);
    const standing = trust.standing(place);
    if (standing === 'upstream' || !trust.isUpstreamHostname(options.hostname)) {
      connectors[standing](options, callback);
    } else {
      connectors[standing === 'trusted' ? 'ownHostTrustedPort' : 'ownHostForeignPort'](options, callback);
    }
  };
}

type Way = 'upstream' | 'trusted' | 'ownHostForeignPort' | 'ownHostTrustedPort' | 'foreign';

interface Means {
  readonly options: ConnectOptions;
  readonly guarded: boolean;
}

function mapped<To>(
  ways: Readonly<Record<Way, Means>>,
  make: (means: Means) => To,
): Readonly<Record<Way, To>> {
  return {
    upstream: make(ways.upstream),
    trusted: make(ways.trusted),
    ownHostForeignPort: make(ways.ownHostForeignPort),
    ownHostTrustedPort: make(ways.ownHostTrustedPort),
    foreign: make(ways.foreign),
  };
}

/** Through a proxy, then TLS to the host itself, with the same settings as without. */
function tunnelled(
  tunnel: ProxyTunnel,
  { options: settings, guarded: isGuarded }: Means,
): Connecting.connector {
  const secure = connector(settings);
  return (options, callback) => {
    const hostname = bareHostname(options.hostname);
    const isSecure = options.protocol === 'https:';
    if (isGuarded) {
      const isLiteral = isIP(hostname) !== 0;
      const refused = isLiteral
        ? isSpecialAddress(hostname)
        : tunnel.resolvesNames && !isPublicName(hostname);
      if (refused) return callback(refusedAddress(hostname), null);
    }
    const port = options.port === '' ? (isSecure ? 443 : 80) : Number(options.port);
    const way = { hostname, port, protocol: options.protocol };
    void (async () => {
      let socket: Socket;
      try {
        socket = await tunnel.open(way, settings.lookup);
      } catch (error) {
        callback(connectionError(error, hostname), null);
        return;
      }
      const settle: Connecting.Callback = (...result) => {
        tunnel.settled(socket);
        callback(...result);
      };
      if (isSecure) secure({ ...options, httpSocket: socket }, settle);
      else settle(null, socket);
    })();
  };
}

/** Made once: parsing the authorities for every connection costs milliseconds. */
function contextOf(options: SecureContextOptions): { secureContext?: SecureContext } {
  const named = Object.values(options).some((value) => value !== undefined);
  return named ? { secureContext: createSecureContext(options) } : {};
}

function connector(options: ConnectOptions): Connecting.connector {
  const all: ConnectOptions & Record<string, unknown> = {
    ...options,
    timeout: CONNECT_TIMEOUT_MS,
    allowH2: false,
    autoSelectFamily: true,
    keepAlive: true,
    keepAliveInitialDelay: KEEP_ALIVE_PROBE_MS,
  };
  const plain = buildConnector({ ...all, onread: plainReads });
  const secure = buildConnector({ ...all, onread: tlsReads });
  return (way, callback) => (way.protocol === 'https:' ? secure : plain)(way, callback);
}

function guarded(connect: Connecting.connector): Connecting.connector {
  return (options, callback) => {
    const hostname = bareHostname(options.hostname);
    // A literal is connected to without a look-up.
    if (isIP(hostname) !== 0 && isSpecialAddress(hostname)) {
      callback(refusedAddress(hostname), null);
      return;
    }
    connect(options, (...result) => {
      const [error, socket] = result;
      if (error === null && isSpecialAddress(socket.remoteAddress)) {
        socket.destroy();
        callback(refusedAddress(hostname), null);
        return;
      }
      callback(...result);
    });
  };
}
