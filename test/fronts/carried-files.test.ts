import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { CarriedFiles } from '../../src/fronts/carried-files.ts';
import type { CarriedReport } from '../../src/fronts/front-messages.ts';

const GRANT = {
  loan: 7,
  stretch: { start: 5, end: 1024 },
  file: { path: '/nowhere/at/all', sizeBytes: 1024, modifiedAt: 1 },
};

/** An answer to a client that waits for it. */
async function answer(): Promise<ServerResponse> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const client = connect((server.address() as AddressInfo).port, '127.0.0.1');
  client.on('error', () => undefined).write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
  onTestFinished(() => {
    client.destroy();
    server.close();
  });
  const [, response] = (await once(server, 'request')) as [unknown, ServerResponse];
  return response;
}

/** @param taken does the owner take it back? */
async function reportsOfMissing(taken: boolean): Promise<readonly CarriedReport[]> {
  const reports: CarriedReport[] = [];
  const files = new CarriedFiles((more) => reports.push(...more));
  const response = await answer();
  const position = await new Promise<number>((resolve) => {
    const giveBack = (from: number, take: () => void): void => {
      if (taken) take();
      resolve(from);
    };
    files.carry(GRANT, { response, sendHead: () => undefined, giveBack });
  });
  expect(position).toBe(5);
  const closed = once(response, 'close');
  response.destroy();
  await closed;
  await new Promise(setImmediate);
  return reports;
}

test('tell how it ended of what the owner did not take back', async () => {
  expect(await reportsOfMissing(false)).toMatchObject([{ loan: 7, state: 'broken off', sentBytes: 0 }]);
});

test('tell nothing more of what he took', async () => {
  expect(await reportsOfMissing(true)).toEqual([]);
});
