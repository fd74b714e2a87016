import { expect, it } from 'vitest';
import { rateLimitOf } from '../../src/upstream/rate-limit.ts';
import { ResponseHeaders } from '../../src/upstream/response-headers.ts';

const NOW = Date.UTC(2030, 0, 1);

function read(headers: Record<string, string>) {
  return rateLimitOf(new ResponseHeaders(headers), NOW);
}

it.each([
  [{}, undefined],
  [{ 'ratelimit-reset': '60' }, undefined],
  [
    { 'ratelimit-limit': '100;w=21600', 'ratelimit-remaining': '76;w=21600' },
    { limit: 100, remaining: 76, windowMs: 21_600_000 },
  ],
  [{ 'ratelimit-remaining': '0;w=60' }, { limit: undefined, remaining: 0, windowMs: 60_000 }],
  [{ 'ratelimit-limit': '100' }, { limit: 100, remaining: undefined }],
  [
    { 'ratelimit-limit': '10', 'ratelimit-remaining': '9', 'ratelimit-reset': '30' },
    { limit: 10, remaining: 9, resetInMs: 30_000 },
  ],
  [
    { 'ratelimit-remaining': '9', 'ratelimit-reset': String(NOW / 1000 + 90) },
    { limit: undefined, remaining: 9, resetInMs: 90_000 },
  ],
  [
    { 'ratelimit-remaining': '9', 'ratelimit-reset': '1000000000' },
    { limit: undefined, remaining: 9, resetInMs: 0 },
  ],
  // Several windows, of which the first is not the one that is said.
  [{ 'ratelimit-limit': '100, 100;w=60, 5000;w=3600' }, { limit: 100, remaining: undefined }],
  [
    { 'ratelimit-limit': '100;w=999999999', 'ratelimit-reset': '99999999999999' },
    { limit: 100, remaining: undefined },
  ],
  [{ 'ratelimit-limit': 'many;w=60', 'ratelimit-remaining': '-1' }, undefined],
])('reads %j as %j', (headers, expected) => {
  expect(read(headers)).toEqual(expected);
});
