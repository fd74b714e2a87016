import { BlockList, isIP } from 'node:net';
import { resolve } from 'node:path';
import { createSecureContext } from 'node:tls';
import { readText } from './config-file-text.ts';
import type { FileConfig } from './config-schema.ts';
import type { FileTls } from './config-schema-listen.ts';
import type { Surroundings } from './config-secret.ts';
import { type ListenAddress, printListen } from './config-text.ts';

/** What a listener shows its clients. The files are read again when they change. */
export interface ListenerTls {
  /** Absolute paths of PEM files. */
  readonly certFile: string;
  readonly keyFile: string;
  readonly minVersion: 'TLSv1.2' | 'TLSv1.3';
}

export interface ListenerConfig extends ListenAddress {
  /** Absent: plain HTTP. */
  readonly tls?: ListenerTls | undefined;
}

interface Written {
  readonly path: readonly string[];
  readonly address: ListenAddress;
  readonly tls: boolean | FileTls;
}

const PEM_BYTES_LIMIT = 1024 * 1024;

/** The registry's listeners in the file's order, at least one, and the admin listener. */
export function listenersFrom(
  values: FileConfig,
  surroundings: Surroundings,
): { readonly listeners: readonly ListenerConfig[]; readonly admin: ListenerConfig } {
  const { problems } = surroundings;
  const shared = values.tls === undefined ? undefined : listenerTlsFrom(values.tls, ['tls'], surroundings);
  const open = ({ path, address, tls }: Written): ListenerConfig => {
    if (tls === false) return address;
    if (tls !== true) return { ...address, tls: listenerTlsFrom(tls, [...path, 'tls'], surroundings) };
    if (shared === undefined)
      problems.addDerived([...path, 'tls'], 'needs the top-level tls, which is missing', true);
    return { ...address, ...(shared !== undefined && { tls: shared }) };
  };
  const { listen, admin } = values;
  const byDefault = values.tls !== undefined;
  const written: readonly Written[] = Array.isArray(listen)
    ? listen.map((entry, at) => {
        const path = ['listen', String(at)];
        return 'address' in entry
          ? { path, address: entry.address, tls: entry.tls ?? byDefault }
          : { path, address: entry, tls: byDefault };
      })
    : [{ path: ['listen'], address: listen, tls: byDefault }];
  const listeners = written.map(open);
  const adminWritten = { path: ['admin'], address: admin.listen, tls: admin.tls };
  for (const [at, { path, address }] of written.entries()) {
    const double = written.slice(0, at).some((other) => overlap(other.address, address));
    if (double) problems.addDerived(path, 'is the same address as another listener', printListen(address));
  }
  if (written.some(({ address }) => overlap(address, admin.listen))) {
    problems.addDerived(
      ['admin', 'listen'],
      'is the same address as listen; accepted is another one',
      `port ${admin.listen.port}`,
    );
  }
  return { listeners, admin: open(adminWritten) };
}

/** The listener that clients elsewhere are told of: the first that they can reach, if there is one. */
export function clientListener(listeners: readonly ListenerConfig[]): ListenerConfig {
  const [first] = listeners;
  if (first === undefined) throw new Error('there is no listener');
  return listeners.find(({ host }) => !isLoopback(host)) ?? first;
}

/** True for an address that only this machine reaches. */
export function isLoopback(host: string): boolean {
  const loopback = new BlockList();
  loopback.addSubnet('127.0.0.0', 8, 'ipv4');
  loopback.addAddress('::1', 'ipv6');
  const family = isIP(host);
  return family === 0 ? host === 'localhost' : loopback.check(host, family === 4 ? 'ipv4' : 'ipv6');
}

function overlap(one: ListenAddress, other: ListenAddress): boolean {
  const anyAddress = new Set(['0.0.0.0', '::']);
  const hosts = one.host === other.host || anyAddress.has(one.host) || anyAddress.has(other.host);
  return hosts && one.port === other.port && one.port !== 0;
}

/** Reads both files to see that they fit: a mistake should be found before anything starts. */
function listenerTlsFrom(
  { cert, key, minVersion }: FileTls,
  path: readonly string[],
  { baseDir, problems }: Surroundings,
): ListenerTls {
  const certFile = resolve(baseDir, cert);
  const keyFile = resolve(baseDir, key);
  const texts = (
    [
      ['cert', certFile, cert],
      ['key', keyFile, key],
    ] as const
  ).map(([name, file, written]) => {
    const text = written.includes('-----BEGIN')
      ? { reason: 'it is PEM text; accepted is the path of a file that holds it' }
      : readText(file, PEM_BYTES_LIMIT);
    if ('reason' in text) problems.add([...path, name], `cannot be read: ${text.reason}`, written);
    return 'content' in text ? text.content : undefined;
  });
  const [certText, keyText] = texts;
  if (certText !== undefined && keyText !== undefined) {
    try {
      createSecureContext({ cert: certText, key: keyText, minVersion });
    } catch (error) {
      const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown';
      problems.addDerived(path, `${pairFault(code)} (${code}): ${cert}, ${key}`);
    }
  }
  return { certFile, keyFile, minVersion };
}

/** What OpenSSL's code says about a certificate and a key. */
export function pairFault(code: string): string {
  if (code === 'ERR_OSSL_X509_KEY_VALUES_MISMATCH') return 'the key does not belong to the certificate';
  if (code === 'ERR_OSSL_BAD_DECRYPT' || code === 'ERR_OSSL_CRYPTO_INTERRUPTED_OR_CANCELLED')
    return 'the key is encrypted, which is not supported';
  return 'the files do not make a usable certificate and key';
}
