import { expect, test } from 'vitest';
import { cacheAddress } from '../../src/client-setup/cache-address.ts';

const hostname = 'machine';

test.each([
  ['https://cache.example.com', 'cache.example.com', false],
  ['https://cache.example.com:8443', 'cache.example.com:8443', false],
  ['http://10.0.0.1:5000', '10.0.0.1:5000', true],
  ['http://[2001:db8::1]:5000', '[2001:db8::1]:5000', true],
  // Clients would take a bare word for a namespace of Docker Hub.
  ['https://cache', 'cache:443', false],
  ['http://cache', 'cache:80', true],
])('%s is %s in references', (publicUrl, host, isPlain) => {
  const listen = { scheme: 'http', host: '127.0.0.1', port: 5000 } as const;
  expect(cacheAddress({ publicUrl, listen, hostname })).toEqual({
    url: publicUrl,
    host,
    isPlain,
    isLoopback: false,
    warnings: [],
  });
});

test('without publicUrl it is where it listens, with a warning where nobody else reaches that', () => {
  const { url, host, isLoopback, warnings } = cacheAddress({
    listen: { scheme: 'http', host: '127.0.0.1', port: 5000 },
    hostname,
  });
  expect({ url, host, isLoopback }).toEqual({
    url: 'http://127.0.0.1:5000',
    host: '127.0.0.1:5000',
    isLoopback: true,
  });
  expect(warnings).toEqual([expect.stringContaining('this machine only')]);
});

test.each(['0.0.0.0', '::'])(
  'on every interface (%s) it is the name of the machine, with a warning',
  (host) => {
    const address = cacheAddress({ listen: { scheme: 'https', host, port: 5000 }, hostname });
    expect(address.url).toBe('https://machine:5000');
    expect(address.warnings).toEqual([expect.stringContaining('publicUrl is not set')]);
  },
);

test('an IPv6 address stands in brackets', () => {
  const address = cacheAddress({ listen: { scheme: 'http', host: '2001:db8::1', port: 5000 }, hostname });
  expect(address.url).toBe('http://[2001:db8::1]:5000');
});
