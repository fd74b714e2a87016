import { expect, test } from 'vitest';
import { sizeWarnings, storeLimits } from '../../src/cache/store-limits.ts';

const GIB = 1024 ** 3;
const FACTS = { capacityBytes: 100 * GIB, storedBytes: 0, pinnedBytes: 0, limitBytes: 50 * GIB };

test('shares are of the disk, and an upstream’s of the cache', () => {
  const cache = {
    maxSize: { share: 0.5 },
    minFreeSpace: { share: 0.01 },
    maxBlobBytes: 7,
    maxAgeMs: 8,
    finishFillBytes: 0,
    fillLingerMs: 0,
    pins: [],
    verifyOnRead: false,
    scrub: { everyMs: undefined, bytesPerSecond: 1 },
  };
  const upstream = {
    url: '',
    default: false,
    prefixes: [],
    hosts: [],
    trustedHosts: [],
    tagTtlMs: 0,
    maxStaleMs: 0,
  };
  const upstreams = [
    { ...upstream, name: 'a', maxSize: { share: 0.1 } },
    { ...upstream, name: 'b', maxSize: { bytes: 5 } },
    { ...upstream, name: 'c' },
  ];
  expect(storeLimits({ cache, upstreams }, 100 * GIB)).toEqual({
    maxBytes: 50 * GIB,
    minFreeBytes: GIB,
    maxBlobBytes: 7,
    maxAgeMs: 8,
    upstreamBytes: new Map([
      ['a', 5 * GIB],
      ['b', 5],
    ]),
  });
});

test.each([
  [{}, []],
  [{ capacityBytes: 40 * GIB }, [/larger than the disk/]],
  [{ storedBytes: 51 * GIB }, [/below what is stored/]],
  [{ storedBytes: 52 * GIB, pinnedBytes: 51 * GIB }, [/below what is pinned/]],
  [{ limitBytes: GIB }, [/next to nothing can be stored/]],
])('sizes that are likely to be a mistake are warned of: %j', (facts, expected) => {
  const limits = { maxBytes: 50 * GIB, minFreeBytes: 0, upstreamBytes: new Map<string, number>() };
  const warnings = sizeWarnings({ limits, ...FACTS, ...facts });
  expect(warnings).toHaveLength(expected.length);
  for (const [at, pattern] of expected.entries()) expect(warnings[at]).toMatch(pattern);
});
