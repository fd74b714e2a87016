import { once } from 'node:events';
import { createServer, type IncomingMessage, request, type Server } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { forwardedHead, type RestoredRequest, restoreRequest } from '../../src/fronts/forwarded-request.ts';

function endWithTest(server: Server, client: { destroy(): unknown }): void {
  onTestFinished(() => {
    client.destroy();
    server.close();
    server.closeAllConnections();
  });
}

/** A request as Node reads it from these bytes. */
async function received(text: string): Promise<IncomingMessage> {
  const server = createServer({ requireHostHeader: false }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const socket = connect(port, '127.0.0.1');
  endWithTest(server, socket);
  socket.write(text, 'latin1');
  const [message] = (await once(server, 'request')) as [IncomingMessage];
  return message;
}

/** What the owner has of it, over a connection of the front's. */
async function forwarded(text: string): Promise<RestoredRequest & { message: IncomingMessage }> {
  const { path, headers } = forwardedHead(await received(text), 'token', 7);
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const names = headers.filter((_, at) => at % 2 === 0).map((name) => name.toLowerCase());
  // As undici does.
  const host = names.includes('host') ? [] : ['Host', 'owner'];
  const asked = request({ port, path, headers: [...host, ...headers], agent: false }).on(
    'error',
    () => undefined,
  );
  asked.end();
  endWithTest(server, asked);
  const [message] = (await once(server, 'request')) as [IncomingMessage];
  return { message, ...restoreRequest(message) };
}

function hostsOf({ rawHeaders }: IncomingMessage): readonly string[] {
  return rawHeaders.filter((_, at) => at % 2 === 1 && rawHeaders[at - 1]?.toLowerCase() === 'host');
}

test('is the same request again, with its client’s address', async () => {
  const { message, client, number } = await forwarded(
    'GET /v2/a/blobs/x?ns=b HTTP/1.1\r\nHost: c\r\nAccept: d\r\nX-Y: \xe4\r\n\r\n',
  );
  expect(message).toMatchObject({ method: 'GET', url: '/v2/a/blobs/x?ns=b', httpVersionMajor: 1 });
  expect(message.headers).toMatchObject({ host: 'c', accept: 'd', 'x-y': '\xe4' });
  expect(hostsOf(message)).toEqual(['c']);
  expect(client).toBe('127.0.0.1');
  expect(number).toBe(7);
  // Of two clients it is equal.
  expect(message.rawHeaders.join()).not.toMatch(/token|127\.0\.0\.1|x-entrepot/i);
});

test.each([
  ['Content-Length: 3\r\n', { 'content-length': '3' }],
  ['Transfer-Encoding: chunked\r\n', { 'transfer-encoding': 'chunked' }],
])('says that a body follows: %j', async (header, expected) => {
  const { message } = await forwarded(`GET / HTTP/1.1\r\nHost: a\r\n${header}\r\n`);
  expect(message.headers).toMatchObject(expected);
});

test.each([
  ['Host: a\r\nhost: b\r\n', 2],
  ['', 0],
])('has as many hosts as it had: %j', async (headers, count) => {
  const { message } = await forwarded(`GET / HTTP/1.0\r\n${headers}\r\n`);
  if (count > 1) expect(hostsOf(message).length).toBeGreaterThan(1);
  else expect(message.headers.host).toBeUndefined();
});

test('has its target, also one that is no path', async () => {
  expect((await forwarded('OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n')).message.url).toBe('*');
  const absolute = 'http://elsewhere.example/v2/';
  expect((await forwarded(`GET ${absolute} HTTP/1.1\r\nHost: a\r\n\r\n`)).message.url).toBe(absolute);
});

test('has nothing of what clients say under the names of fronts', async () => {
  const lies = ['Front', 'Client', 'Body', 'Hosts', 'Version', 'Target', 'Given-Back', 'File', 'Anything'];
  const headers = lies.map((name) => `X-ENTREPOT-${name}: 9\r\n`).join('');
  const { message, client } = await forwarded(`GET /v2/ HTTP/1.1\r\nHost: a\r\n${headers}\r\n`);
  expect(client).toBe('127.0.0.1');
  expect(message).toMatchObject({ url: '/v2/', httpVersionMajor: 1 });
  expect(Object.values(message.headers)).not.toContain('9');
});
