const IPV4_IN_IPV6 = '::ffff:';

/** How a client is named everywhere: its address; IPv4 as such, also over a socket that takes both. */
export function clientAddress(address = 'unknown'): string {
  const isMapped = address.startsWith(IPV4_IN_IPV6) && address.includes('.');
  return isMapped ? address.slice(IPV4_IN_IPV6.length) : address;
}
