import { BlockList, isIP } from 'node:net';
import type { ProxyConfig, ProxyServer } from '../config.ts';
import { bareHostname, type Place } from './host-trust.ts';

type Rule = (place: Place) => boolean;

/** Says by which proxy a place is reached, for every host that is contacted: redirect targets and token realms too. */
export class ProxyRoute {
  readonly #config: ProxyConfig | undefined;
  readonly #without: readonly Rule[];

  /** @param config absent: none, everything is reached directly */
  constructor(config: ProxyConfig | undefined) {
    this.#config = config;
    const loopback: readonly string[] =
      config?.sparesLoopback === true ? ['localhost', '127.0.0.0/8', '::1'] : [];
    this.#without = [...(config?.noProxy ?? []), ...loopback].map(ruleOf);
  }

  /** `undefined`: directly. */
  serverFor(protocol: string, { hostname, port }: Place): ProxyServer | undefined {
    const server = protocol === 'https:' ? this.#config?.https : this.#config?.http;
    if (server === undefined) return undefined;
    const place = { hostname: bareHostname(hostname), port };
    return this.#without.some((rule) => rule(place)) ? undefined : server;
  }
}

function ruleOf(entry: string): Rule {
  if (entry === '*') return () => true;
  const bare = /^\[(.*)\](?::(\d+))?$/.exec(entry);
  if (bare !== null) return withPort(addresses(bare[1] ?? '', 128), bare[2]);
  const [, network, bits] = /^([\da-f:.]+)\/(\d+)$/.exec(entry) ?? [];
  if (network !== undefined) return addresses(network, Number(bits));
  if (isIP(entry) !== 0) return addresses(entry, 128);
  const [host = '', port] = entry.split(':');
  return withPort(isIP(host) === 0 ? names(host) : addresses(host, 128), port);
}

/** Only literals are compared: a name that leads there is not looked up. */
function addresses(network: string, bits: number): Rule {
  const list = new BlockList();
  const family = isIP(network) === 4 ? 'ipv4' : 'ipv6';
  try {
    list.addSubnet(network, Math.min(bits, family === 'ipv4' ? 32 : 128), family);
  } catch {
    return () => false;
  }
  return ({ hostname }) => {
    const own = isIP(hostname);
    return own !== 0 && list.check(hostname, own === 4 ? 'ipv4' : 'ipv6');
  };
}

/** `example.com`: it and what is below it; `.example.com` and `*.example.com`: only what is below it. */
function names(written: string): Rule {
  const name = written.replace(/^\*/, '').replace(/\.$/, '');
  if (name.startsWith('.')) return ({ hostname }) => hostname.endsWith(name);
  return ({ hostname }) => hostname === name || hostname.endsWith(`.${name}`);
}

function withPort(rule: Rule, port: string | undefined): Rule {
  return port === undefined ? rule : (place) => place.port === Number(port) && rule(place);
}
