import { lookup as systemLookup, type LookupAddress } from 'node:dns';
import { BlockList, isIP, type LookupFunction } from 'node:net';
import { isBelowSuffix } from './registrable-names.ts';
import { UpstreamError } from './upstream-error.ts';

/**
 * Addresses that no host named by an upstream may have: IANA's special-purpose registries (RFC 6890 and what was
 * added since), multicast and reserved space, and the cloud metadata services that live outside them.
 */
const SPECIAL_IPV4 = [
  '0.0.0.0/8', // this network
  '10.0.0.0/8', // private
  '100.64.0.0/10', // shared address space (CGNAT), Alibaba's metadata service
  '127.0.0.0/8', // loopback
  '168.63.129.16/32', // Azure's platform service, at a public address
  '169.254.0.0/16', // link-local, most metadata services
  '172.16.0.0/12', // private
  '192.0.0.0/24', // IETF protocol assignments, Oracle's metadata service
  '192.0.2.0/24', // documentation
  '192.31.196.0/24', // AS112
  '192.52.193.0/24', // AMT
  '192.88.99.0/24', // 6to4 relay anycast
  '192.168.0.0/16', // private
  '192.175.48.0/24', // AS112
  '198.18.0.0/15', // benchmarking
  '198.51.100.0/24', // documentation
  '203.0.113.0/24', // documentation
  '224.0.0.0/4', // multicast
  '240.0.0.0/4', // reserved, broadcast
];
const SPECIAL_IPV6 = [
  '::/96', // unspecified, loopback, IPv4-compatible
  '64:ff9b::/96', // NAT64: leads to any IPv4 address
  '64:ff9b:1::/48', // local NAT64
  '100::/64', // discard
  '100:0:0:1::/64', // dummy prefix
  '2001::/23', // IETF protocol assignments: Teredo, ORCHID, benchmarking
  '2001:db8::/32', // documentation
  '2002::/16', // 6to4: leads to any IPv4 address
  '2620:4f:8000::/48', // AS112
  '3fff::/20', // documentation
  '5f00::/16', // segment routing
  'fc00::/7', // unique local, AWS's metadata service
  'fe80::/10', // link-local
  'fec0::/10', // site-local
  'ff00::/8', // multicast
];

const special = blockListOf();

/**
 * True for an address that only a configured or trusted host may have, and for text that is not an address. An
 * IPv4-mapped IPv6 address is judged as the IPv4 address it leads to.
 */
export function isSpecialAddress(address: string | undefined): boolean {
  // A zone (fe80::1%eth0) means link-local; BlockList would not parse it.
  if (address === undefined || address.includes('%')) return true;
  const family = isIP(address);
  return family === 0 || special.check(address, family === 4 ? 'ipv4' : 'ipv6');
}

/**
 * A `lookup` for `net.connect` that gives public addresses only, so that what is checked is what is connected to: a
 * name that resolves differently a moment later (DNS rebinding) gains nothing.
 * Fails with UpstreamError `refused` when nothing public is left.
 */
export function publicLookup(lookup: LookupFunction = systemLookup): LookupFunction {
  return (hostname, options, callback) => {
    lookup(hostname, { ...options, all: true }, (error, found) => {
      if (error) return callback(error, '');
      const addresses = (found as unknown as LookupAddress[]).filter(
        ({ address }) => !isSpecialAddress(address),
      );
      const first = addresses[0];
      if (first === undefined) return callback(refusedAddress(hostname), '');
      if (options.all === true) return callback(null, addresses);
      callback(null, first.address, first.family);
    });
  };
}

/**
 * True for a name below a suffix under which names are registered. `localhost`, single words, `.internal` and the like
 * are not: behind a proxy, which resolves names itself, this is all that can be judged of a name.
 */
export function isPublicName(hostname: string): boolean {
  return isBelowSuffix(hostname);
}

/** The error for a host at an address that it may not have. */
export function refusedAddress(hostname: string): UpstreamError {
  return new UpstreamError(
    'refused',
    `${hostname} is at a private or special address; only a host in trustedHosts may be`,
  );
}

function blockListOf(): BlockList {
  const list = new BlockList();
  for (const [family, subnets] of [['ipv4', SPECIAL_IPV4] as const, ['ipv6', SPECIAL_IPV6] as const]) {
    for (const subnet of subnets) {
      const slash = subnet.lastIndexOf('/');
      list.addSubnet(subnet.slice(0, slash), Number(subnet.slice(slash + 1)), family);
    }
  }
  return list;
}
