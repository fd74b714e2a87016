import { expect, test } from 'vitest';
import type { ProxyConfig } from '../../src/config.ts';
import { ProxyRoute } from '../../src/upstream/proxy-route.ts';

const PROXY = { protocol: 'http:', host: 'proxy', port: 3128, keyPath: 'proxy' } as const;

function isProxied(
  noProxy: string[],
  hostname: string,
  port = 443,
  more: Partial<ProxyConfig> = {},
): boolean {
  const route = new ProxyRoute({ https: PROXY, noProxy, sparesLoopback: false, ...more });
  return route.serverFor('https:', { hostname, port }) !== undefined;
}

test.each<[string, string, number, boolean]>([
  ['example.com', 'example.com', 443, false],
  ['example.com', 'a.b.example.com', 443, false],
  ['example.com', 'EXAMPLE.com.', 443, false],
  ['example.com', 'notexample.com', 443, true],
  ['example.com', 'example.com.evil.net', 443, true],
  ['.example.com', 'a.example.com', 443, false],
  ['.example.com', 'example.com', 443, true],
  ['*.example.com', 'a.example.com', 443, false],
  ['example.com:5000', 'example.com', 5000, false],
  ['example.com:5000', 'example.com', 443, true],
  ['192.0.2.7', '192.0.2.7', 443, false],
  ['192.0.2.7', '192.0.2.8', 443, true],
  ['192.0.2.7:5000', '192.0.2.7', 5000, false],
  ['192.0.2.7:5000', '192.0.2.7', 443, true],
  ['192.0.2.0/24', '192.0.2.200', 443, false],
  ['192.0.2.0/24', '192.0.3.1', 443, true],
  ['192.0.2.0/24', 'host', 443, true],
  ['2001:db8::/32', '[2001:db8::7]', 443, false],
  ['2001:db8::7', '2001:db8::7', 443, false],
  ['[2001:db8::7]:5000', '[2001:db8::7]', 5000, false],
  ['[2001:db8::7]:5000', '[2001:db8::7]', 443, true],
  ['*', 'anything', 443, false],
])('with %s left out, %s:%i goes by the proxy: %s', (entry, hostname, port, expected) => {
  expect(isProxied([entry], hostname, port)).toBe(expected);
});

test.each(['localhost', '127.0.0.1', '127.9.9.9', '[::1]'])(
  '%s goes by a proxy of the configuration, by one of the environment not',
  (hostname) => {
    expect(isProxied([], hostname)).toBe(true);
    expect(isProxied([], hostname, 443, { sparesLoopback: true })).toBe(false);
  },
);

test('http and https may have different ones, or none', () => {
  const route = new ProxyRoute({ http: PROXY, noProxy: [], sparesLoopback: false });
  const place = { hostname: 'example.com', port: 80 };
  expect([route.serverFor('http:', place), route.serverFor('https:', place)]).toEqual([PROXY, undefined]);
  expect(new ProxyRoute(undefined).serverFor('http:', place)).toBeUndefined();
});
