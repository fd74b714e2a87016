import { isIP, type LookupFunction } from 'node:net';
import {
  createSecureContext,
  rootCertificates,
  type SecureContext,
  type SecureContextOptions,
} from 'node:tls';
import { buildConnector } from 'undici';
import type { UpstreamConfig } from '../config.ts';
import { isSpecialAddress, publicLookup, refusedAddress } from './address-guard.ts';
import { bareHostname, type HostTrust } from './host-trust.ts';

const CONNECT_TIMEOUT_MS = 5_000;
const KEEP_ALIVE_PROBE_MS = 30_000;

/** undici's BuildOptions leaves these options of `net.connect` and `tls.connect` to its union; we name what we use. */
interface ConnectOptions {
  readonly secureContext?: SecureContext;
  readonly rejectUnauthorized?: boolean;
  readonly lookup?: LookupFunction;
}

/**
 * How sockets of one upstream are opened.
 * - The upstream's own host and port: at any address, with all of the upstream's TLS settings.
 * - Its host at another port: with its authority and `insecure`, but without the client certificate.
 * - A trusted host: at any address; the upstream's authority is accepted beside the system's; never `insecure`.
 * - Any other: at public addresses only (checked in the look-up, on literals, and on the connected socket), with the
 *   system's authorities.
 */
export function createConnector(
  trust: HostTrust,
  tls: UpstreamConfig['tls'],
  lookup: LookupFunction | undefined,
): buildConnector.connector {
  const { ca, cert, key } = tls ?? {};
  const insecure = tls?.insecure === true ? { rejectUnauthorized: false } : {};
  const own = { ...insecure, ...contextOf({ ca, cert, key }) };
  const withoutCertificate = { ...insecure, ...contextOf({ ca }) };
  const alsoSystem = contextOf(ca === undefined ? {} : { ca: [...rootCertificates, ca] });
  const anywhere = lookup === undefined ? {} : { lookup };
  const publicOnly = { lookup: publicLookup(lookup) };
  const connectors = {
    upstream: connector({ ...own, ...anywhere }),
    trusted: connector({ ...alsoSystem, ...anywhere }),
    ownHostForeignPort: guarded(connector({ ...withoutCertificate, ...publicOnly })),
    ownHostTrustedPort: connector({ ...withoutCertificate, ...anywhere }),
    foreign: guarded(connector(publicOnly)),
  };
  return (options, callback) => {
    const port = options.port === '' ? (options.protocol === 'https:' ? 443 : 80) : Number(options.port);
    const standing = trust.standing({ hostname: options.hostname, port });
    if (standing === 'upstream' || !trust.isUpstreamHostname(options.hostname)) {
      connectors[standing](options, callback);
    } else {
      connectors[standing === 'trusted' ? 'ownHostTrustedPort' : 'ownHostForeignPort'](options, callback);
    }
  };
}

/** Made once: parsing the authorities for every connection costs milliseconds. */
function contextOf(options: SecureContextOptions): { secureContext?: SecureContext } {
  const named = Object.values(options).some((value) => value !== undefined);
  return named ? { secureContext: createSecureContext(options) } : {};
}

function connector(options: ConnectOptions): buildConnector.connector {
  const all: ConnectOptions & Record<string, unknown> = {
    ...options,
    timeout: CONNECT_TIMEOUT_MS,
    allowH2: false,
    autoSelectFamily: true,
    keepAlive: true,
    keepAliveInitialDelay: KEEP_ALIVE_PROBE_MS,
  };
  return buildConnector(all);
}

function guarded(connect: buildConnector.connector): buildConnector.connector {
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
