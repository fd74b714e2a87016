import { writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { runProgram } from '../../src/commands/program.ts';
import { fakeProcess } from '../support/fake-process.ts';
import { startApp } from '../support/running-app.ts';
import { serverCertificate } from '../upstream/certificates.ts';

async function run(
  admin: Readonly<Record<string, unknown>>,
  ...args: readonly string[]
): Promise<{ readonly code: number; readonly stdout: string; readonly stderr: string }> {
  const subject = await fakeProcess({});
  const directory = subject.io.workingDir;
  const file = join(directory, 'config.yaml');
  await writeFile(join(directory, 'cert.pem'), serverCertificate.cert);
  await writeFile(join(directory, 'key.pem'), serverCertificate.key);
  await writeFile(file, JSON.stringify({ admin }));
  // The environment outranks the file.
  const code = await runProgram(['health', '--config', file, ...args], { ...subject.io, environment: {} });
  return { code, stdout: subject.stdout(), stderr: subject.stderr() };
}

/** Listens until the test is over; at a free port. */
async function portOf(server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

it('the health command tells that a server lives and is ready, without the token that all else there takes', async () => {
  const app = await startApp({ upstreams: [], adminToken: 'canary-admin-token' });
  const { port } = new URL(app.adminUrl);
  const admin = { listen: `0.0.0.0:${port}`, token: 'another' };
  expect(await run(admin)).toEqual({ code: 0, stdout: 'ok\n', stderr: '' });
  expect(await run(admin, '--ready')).toEqual({ code: 0, stdout: 'ready\n', stderr: '' });
});

it('the health command asks a listener that speaks TLS, whatever names its certificate has', async () => {
  const server = createSecureServer(serverCertificate, (request, response) => response.end(request.url));
  const admin = {
    listen: `[::]:${await portOf(server)}`,
    token: 'x',
    tls: { cert: 'cert.pem', key: 'key.pem' },
  };
  // [::] is asked at [::1], where nobody listens.
  expect(await run(admin)).toMatchObject({ code: 1, stderr: expect.stringContaining('ECONNREFUSED') });
  const there = { ...admin, listen: admin.listen.replace('[::]', '0.0.0.0') };
  expect(await run(there)).toEqual({ code: 0, stdout: '/healthz\n', stderr: '' });
});

it('the health command fails, with what the server says, when it is not ready', async () => {
  const server = createServer((_request, response) => response.writeHead(503).end('shutting down\n'));
  const admin = { listen: `127.0.0.1:${await portOf(server)}` };
  expect(await run(admin, '--ready')).toEqual({ code: 1, stdout: '', stderr: 'shutting down\n' });
});

it('the health command takes no more of an answer than it can print, and waits for none for ever', async () => {
  const endless = createServer((_request, response) => {
    response.on('drain', () => response.write('x'.repeat(65_536)));
    response.write('x'.repeat(65_536));
  });
  const { code, stdout } = await run({ listen: `127.0.0.1:${await portOf(endless)}` });
  expect([code, stdout.length]).toEqual([0, 4097]);
  const silent = createServer(() => undefined);
  const began = performance.now();
  expect(await run({ listen: `127.0.0.1:${await portOf(silent)}` })).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(/^entrepot: \/healthz of the admin listener .* does not answer/),
  });
  expect(performance.now() - began).toBeLessThan(25_000);
});

it('the health command says what keeps it from asking', async () => {
  expect(await run({ listen: '127.0.0.1:0' })).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('has port 0'),
  });
  expect(await run({ listen: '0.0.0.0:5001' })).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('admin.token'),
  });
});
