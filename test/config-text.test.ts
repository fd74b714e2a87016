import { assert, domain, integer, property } from 'fast-check';
import { expect, test } from 'vitest';
import { parseDuration, parseHost, parseListen, parseSize } from '../src/config-text.ts';

test.each([
  ['250ms', 250],
  ['10s', 10_000],
  ['5m', 300_000],
  ['2h', 7_200_000],
  ['30d', 2_592_000_000],
  ['0s', 0],
  ['', undefined],
  ['5', undefined],
  ['-1s', undefined],
  ['1.5h', undefined],
  ['1h30m', undefined],
  ['999999999999d', undefined],
])('the duration %j is %j ms', (text, ms) => {
  expect(parseDuration(text)).toBe(ms);
});

test.each([
  ['1024', 1024],
  ['1KiB', 1024],
  ['1.5GiB', 1.5 * 2 ** 30],
  ['2TiB', 2 ** 41],
  ['10GB', undefined],
  ['1 GiB', undefined],
  ['9999999999999999TiB', undefined],
])('the size %j is %j bytes', (text, bytes) => {
  expect(parseSize(text)).toBe(bytes);
});

test('listen addresses and hosts are read as they are printed', () => {
  const ports = integer({ min: 1, max: 65_535 });
  assert(
    property(domain(), ports, (host, port) => {
      expect(parseListen(`${host}:${port}`)).toEqual({ host: host.toLowerCase(), port });
      expect(parseHost(`${host}:${port}`)).toBe(`${host}:${port}`.toLowerCase());
      expect(parseHost(`${host}:${port + 65_536}`)).toBeUndefined();
    }),
  );
  expect(parseListen('[2001:db8::1]:443')).toEqual({ host: '2001:db8::1', port: 443 });
  for (const text of ['5000', ':5000', '::1:5000', 'a:b', 'a:99999', 'http://a:1', 'a b:1'])
    expect(parseListen(text)).toBeUndefined();
});
