import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { describe, expect, it, onTestFinished, test, vi } from 'vitest';
import { clientOf } from '../../src/http/connection-gate.ts';
import { get } from '../support/http-get.ts';
import { type RunningApp, startApp } from '../support/running-app.ts';
import { SOON } from '../support/soon.ts';

async function start(connectionsPerClient: number): Promise<RunningApp> {
  return startApp({
    upstreams: [{ name: 'docker.io', url: 'http://127.0.0.1:1' }],
    listeners: [
      { host: '127.0.0.1', port: 0 },
      { host: '127.0.0.1', port: 0 },
    ],
    connectionsPerClient,
  });
}

/** From one of the many addresses of this machine. */
async function connected(url: string | undefined, localAddress = '127.0.0.1'): Promise<Socket> {
  const socket = connect({ host: '127.0.0.1', port: Number(new URL(url ?? '').port), localAddress });
  socket.on('error', () => undefined);
  onTestFinished(() => void socket.destroy());
  await once(socket, 'connect');
  return socket;
}

async function refusals(app: RunningApp): Promise<number> {
  const { body } = await get(`${app.adminUrl}/metrics`);
  return Number(/^entrepot_connections_refused_total\{limit="client"\} (\d+)$/m.exec(body.toString())?.[1]);
}

function said(app: RunningApp, what: string): readonly unknown[] {
  return app.logLines.filter(({ msg }) => msg.includes(what));
}

describe('a client with as many connections as it may have', () => {
  it('gets no more, at any listener, while others do; it is counted, and said once', async () => {
    const app = await start(4);
    const held = [];
    for (const url of [...app.urls, ...app.urls]) held.push(await connected(url));
    for (const url of [...app.urls, ...app.urls]) {
      const refused = await connected(url);
      await once(refused, 'close');
      expect(refused.bytesRead).toBe(0);
    }
    const other = await connected(app.url, '127.0.0.2');
    other.write('GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n');
    await once(other, 'data');
    expect(await refusals(app)).toBe(4);
    expect(said(app, 'too many connections')).toEqual([
      expect.objectContaining({ client: '127.0.0.1', limit: 4 }),
    ]);
  });

  it('may connect again once some are closed, which is said once as well', async () => {
    const app = await start(4);
    const held = [];
    for (let count = 0; count < 4; count += 1) held.push(await connected(app.url));
    await once(await connected(app.url), 'close');
    for (const socket of held.splice(0, 3)) socket.destroy();
    await vi.waitFor(() => expect(said(app, 'may connect again')).toHaveLength(1), SOON);
    expect((await get(`${app.url}/v2/`)).status).toBe(200);
    expect(said(app, 'too many connections')).toHaveLength(1);
  });
});

test.each([
  ['192.0.2.7', '192.0.2.7'],
  ['::ffff:192.0.2.7', '192.0.2.7'],
  ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
  ['2001:db8:1:2::6', '2001:db8:1:2::/64'],
  ['2001:db8::6', '2001:db8:0:0::/64'],
  ['2001:DB8::', '2001:db8:0:0::/64'],
  ['::1', '0:0:0:0::/64'],
  ['fe80::1%eth0', 'fe80:0:0:0::/64'],
  ['64:ff9b::192.0.2.7', '64:ff9b:0:0::/64'],
  ['1:2:3:4:5:6:192.0.2.7', '1:2:3:4::/64'],
])('the client at %s is %s', (address, client) => {
  expect(clientOf(address)).toBe(client);
});
