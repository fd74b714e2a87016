import { expect, test } from 'vitest';
import { parseWrk } from './wrk.ts';

const SAID = `Running 3s test @ http://127.0.0.1:5000/v2/
  1 threads and 16 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   288.51us  211.33us   8.22ms   95.02%
    Req/Sec    54.79k     5.30k   60.26k    83.87%
  Latency Distribution
     50%  250.00us
     75%  301.00us
     90%  411.00us
     99%    1.10ms
  168964 requests in 3.10s, 290.05MB read
Requests/sec:  54504.12
Transfer/sec:     93.56MB
0m0.00s 0m0.01s
0m0.480s 1m2.020s
`;

test('rate, number, 99th percentile and the CPU time of wrk are read from what it and the shell say', () => {
  expect(parseWrk(SAID, 1700)).toEqual({
    requests: 168_964,
    requestsPerSecond: 54_504.12,
    p99Ms: 1.1,
    clientCpuSeconds: 62.5,
  });
  expect(parseWrk(SAID.replace('1.10ms', '900.00us'), 1700)['p99Ms']).toBeCloseTo(0.9);
  expect(parseWrk(SAID.replace('1.10ms', '1.20s'), 1700)['p99Ms']).toBe(1200);
});

test.each([
  ['  Socket errors: connect 0, read 3, write 0, timeout 0', 'wrk met failures'],
  ['  Non-2xx or 3xx responses: 12', 'wrk met failures'],
])('%s is a failure', (line, message) => {
  expect(() => parseWrk(`${SAID}${line}\n`, 1700)).toThrow(message);
});

test('answers shorter than they should be are a failure', () => {
  expect(() => parseWrk(SAID, 1900)).toThrow('less than 168964 bodies of 1900 bytes');
});

test('text of another program is a failure', () => {
  expect(() => parseWrk('usage: wrk', 1)).toThrow('did not say what it should');
});
