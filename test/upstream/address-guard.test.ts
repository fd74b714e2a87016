import type { LookupAddress } from 'node:dns';
import type { LookupFunction } from 'node:net';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isSpecialAddress } from '../../src/upstream/address-guard.ts';
import { OCI_MANIFEST } from '../../src/oci/media-type.ts';
import { closeAfterTest } from '../support/close-after-test.ts';
import { FakeHost } from '../support/fake-host.ts';
import { FakeRegistry } from '../support/fake-registry.ts';
import {
  failure,
  latest,
  manifestText,
  never,
  once,
  RecordingObserver,
  repository,
  upstreamAt,
} from './upstream-under-test.ts';

/** IANA's IPv4 special-purpose registry, written as first and last address, on purpose unlike the code under test. */
const SPECIAL_RANGES = [
  ['0.0.0.0', '0.255.255.255'],
  ['10.0.0.0', '10.255.255.255'],
  ['100.64.0.0', '100.127.255.255'],
  ['127.0.0.0', '127.255.255.255'],
  ['169.254.0.0', '169.254.255.255'],
  ['172.16.0.0', '172.31.255.255'],
  ['192.0.0.0', '192.0.0.255'],
  ['192.0.2.0', '192.0.2.255'],
  ['192.88.99.0', '192.88.99.255'],
  ['192.168.0.0', '192.168.255.255'],
  ['198.18.0.0', '198.19.255.255'],
  ['198.51.100.0', '198.51.100.255'],
  ['203.0.113.0', '203.0.113.255'],
  ['224.0.0.0', '255.255.255.255'],
] as const;

const numberOf = (address: string): number =>
  address.split('.').reduce((sum, part) => sum * 256 + Number(part), 0);
const printed = (value: number): string =>
  [24, 16, 8, 0].map((shift) => Math.floor(value / 2 ** shift) % 256).join('.');

describe('isSpecialAddress', () => {
  it('knows every address of the special ranges, mapped into IPv6 too', () => {
    const inRange = fc
      .constantFrom(...SPECIAL_RANGES)
      .chain(([first, last]) => fc.integer({ min: numberOf(first), max: numberOf(last) }));
    fc.assert(
      fc.property(inRange, (value) => {
        expect(isSpecialAddress(printed(value))).toBe(true);
        expect(isSpecialAddress(`::ffff:${printed(value)}`)).toBe(true);
        expect(isSpecialAddress(`64:ff9b::${printed(value)}`)).toBe(true);
      }),
    );
  });

  it.each(SPECIAL_RANGES)('knows both ends of %s to %s', (first, last) => {
    expect([first, last].map(isSpecialAddress)).toEqual([true, true]);
  });

  it.each([
    '::',
    '::1',
    '::127.0.0.1',
    '0:0:0:0:0:ffff:7f00:1',
    '64:ff9b::a9fe:a9fe',
    '64:ff9b:1::1',
    '100::1',
    '2001::1',
    '2001:db8::1',
    '2002:7f00:1::',
    '3fff::1',
    'fc00::1',
    'fd00:ec2::254',
    'fe80::1',
    'fe80::1%eth0',
    'fec0::1',
    'ff02::1',
    '168.63.129.16',
    'localhost',
    '',
    undefined,
  ])('takes %s for special', (address) => {
    expect(isSpecialAddress(address)).toBe(true);
  });

  it.each([
    '1.1.1.1',
    '8.8.8.8',
    '172.32.0.1',
    '100.128.0.1',
    '::ffff:8.8.8.8',
    '2606:4700::1111',
    '2a00:1450:4001::1',
  ])('takes %s for public', (address) => {
    expect(isSpecialAddress(address)).toBe(false);
  });
});

/** Resolves every name as the list says, one entry after the other, the last one for ever. */
function resolver(...answers: string[][]): { lookup: LookupFunction; asked: string[] } {
  const asked: string[] = [];
  const lookup: LookupFunction = (hostname, _options, callback) => {
    asked.push(hostname);
    const answer = (answers.length > 1 ? answers.shift() : answers[0]) ?? [];
    const found: LookupAddress[] = answer.map((address) => ({
      address,
      family: address.includes(':') ? 6 : 4,
    }));
    callback(null, found);
  };
  return { lookup, asked };
}

async function redirectedTo(
  location: (canary: FakeHost) => string,
  options: { lookup?: LookupFunction; trustedHosts?: string[] } = {},
): Promise<{ canary: FakeHost; reason: string; refused: number }> {
  const canary = closeAfterTest(await FakeHost.start());
  const registry = closeAfterTest(await FakeRegistry.start({ redirect: () => location(canary) }));
  registry.addManifest(repository, manifestText(), OCI_MANIFEST, ['latest']);
  const observer = new RecordingObserver();
  const { lookup, trustedHosts = [] } = options;
  const upstream = upstreamAt(registry.url, { trustedHosts }, { observer, lookup });
  const error = await failure(upstream.getManifest(repository, latest, once, never()));
  return { canary, reason: error.reason, refused: observer.named('refused').length };
}

describe('a host that an upstream leads to', () => {
  it.each([
    '127.0.0.1',
    '127.1',
    '0x7f.1',
    '2130706433',
    '0177.0.0.1',
    '[::1]',
    '[::ffff:127.0.0.1]',
    '[::ffff:7f00:1]',
    '[64:ff9b::127.0.0.1]',
    'localhost',
  ])('is not connected to at %s', async (hostname) => {
    const { canary, reason, refused } = await redirectedTo(({ port }) => `http://${hostname}:${port}/x`);
    expect(reason).toBe('refused');
    expect(refused).toBe(1);
    expect(canary.connections).toBe(0);
  });

  it('is refused when its name leads to a private address', async () => {
    const { lookup, asked } = resolver(['127.0.0.1']);
    const { canary, reason } = await redirectedTo(({ port }) => `http://cdn.example:${port}/x`, { lookup });
    expect([reason, canary.connections]).toEqual(['refused', 0]);
    expect(asked).toEqual(['cdn.example']);
  });

  it('is connected to at its public addresses only', async () => {
    const { lookup } = resolver(['127.0.0.1', '::1', '192.0.2.1', '169.254.169.254']);
    const { canary, reason } = await redirectedTo(({ port }) => `http://cdn.example:${port}/x`, { lookup });
    expect([reason, canary.connections]).toEqual(['refused', 0]);
  });

  it('is resolved once for each connection, so that rebinding gains nothing', async () => {
    const { lookup, asked } = resolver(['10.0.0.1'], ['127.0.0.1']);
    const { canary, reason } = await redirectedTo(({ port }) => `http://cdn.example:${port}/x`, { lookup });
    expect([reason, canary.connections, asked.length]).toEqual(['refused', 0, 1]);
  });

  it('may be anywhere when it is trusted', async () => {
    const { lookup } = resolver(['127.0.0.1']);
    const options = { lookup, trustedHosts: ['minio.internal'] };
    const { canary, reason } = await redirectedTo(({ port }) => `http://minio.internal:${port}/x`, options);
    expect(canary.requests).toHaveLength(1);
    expect(reason).toBe('not-found');
  });

  it('is trusted at the port that was named only', async () => {
    const { lookup } = resolver(['127.0.0.1']);
    const options = { lookup, trustedHosts: ['minio.internal:1'] };
    const { canary, reason } = await redirectedTo(({ port }) => `http://minio.internal:${port}/x`, options);
    expect([reason, canary.connections]).toEqual(['refused', 0]);
  });
});

describe('the upstream itself', () => {
  it('may be at a private address', async () => {
    const registry = closeAfterTest(await FakeRegistry.start());
    registry.addManifest(repository, manifestText(), OCI_MANIFEST, ['latest']);
    const { lookup, asked } = resolver(['127.0.0.1']);
    const upstream = upstreamAt(`http://registry.internal:${registry.port}`, {}, { lookup });
    await upstream.getManifest(repository, latest, once, never());
    expect(asked).toEqual(['registry.internal']);
  });

  it('does not reach the hosts that a manifest names in urls', async () => {
    const canary = closeAfterTest(await FakeHost.start());
    const registry = closeAfterTest(await FakeRegistry.start());
    const document = {
      ...(JSON.parse(manifestText()) as object),
      layers: [
        { mediaType: 'a/b', digest: `sha256:${'1'.repeat(64)}`, size: 1, urls: [`${canary.url}/layer`] },
      ],
    };
    registry.addManifest(repository, JSON.stringify(document), OCI_MANIFEST, ['latest']);
    await upstreamAt(registry.url, { trustedHosts: [canary.host] }).getManifest(
      repository,
      latest,
      once,
      never(),
    );
    expect(canary.connections).toBe(0);
  });
});
