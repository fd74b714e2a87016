import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { join } from 'node:path';
import { connect as connectTls, type ConnectionOptions, type TLSSocket } from 'node:tls';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import type { ListenerTls } from '../../src/config.ts';
import { closeAfterTest } from '../support/close-after-test.ts';
import { FakeRegistry } from '../support/fake-registry.ts';
import { Gate } from '../support/gate.ts';
import { get, openGet } from '../support/http-get.ts';
import { hurriedClock } from '../support/hurried-clock.ts';
import { type RunningApp, startApp } from '../support/running-app.ts';
import { SOON } from '../support/soon.ts';
import { tempDir } from '../support/temp-dir.ts';
import {
  certificateAuthority as ca,
  clientCertificate,
  expiredCertificate,
  selfSignedCertificate,
  serverCertificate,
  type TestCertificate,
} from '../upstream/certificates.ts';

const LOOPBACK = { host: '127.0.0.1', port: 0 };
const MIB = 1024 * 1024;

async function written(dir: string, { cert, key }: TestCertificate): Promise<ListenerTls> {
  const tls = {
    certFile: join(dir, 'tls.pem'),
    keyFile: join(dir, 'tls-key.pem'),
    minVersion: 'TLSv1.2',
  } as const;
  await mkdir(dir, { recursive: true });
  await writeFile(tls.certFile, cert);
  await writeFile(tls.keyFile, key);
  return tls;
}

interface Setting {
  readonly registry: FakeRegistry;
  readonly app: RunningApp;
  readonly tls: ListenerTls;
  readonly dir: string;
  readonly port: number;
}

/** One listener with TLS, and a plain one beside it. */
async function start(
  certificate = serverCertificate,
  minVersion: ListenerTls['minVersion'] = 'TLSv1.2',
): Promise<Setting> {
  const registry = closeAfterTest(await FakeRegistry.start());
  const dir = await tempDir();
  const tls = { ...(await written(dir, certificate)), minVersion };
  const app = await startApp({
    upstreams: [{ name: 'docker.io', url: registry.url }],
    listeners: [{ ...LOOPBACK, tls }, LOOPBACK],
    // Files are looked at every two seconds.
    clock: hurriedClock(10),
  });
  return { registry, app, tls, dir, port: Number(new URL(app.url).port) };
}

async function handshake(port: number, options: ConnectionOptions = {}): Promise<TLSSocket> {
  const socket = connectTls({ host: '127.0.0.1', port, ca, ...options });
  onTestFinished(() => void socket.destroy());
  await new Promise<void>((resolve, reject) => {
    socket.once('secureConnect', resolve);
    socket.once('error', reject);
  });
  return socket;
}

function raw(port: number): { socket: Socket; received: () => string; closed: Promise<unknown> } {
  const socket = connect(port, '127.0.0.1');
  const chunks: Buffer[] = [];
  socket.on('error', () => undefined);
  socket.on('data', (chunk) => chunks.push(chunk));
  onTestFinished(() => void socket.destroy());
  return { socket, received: () => Buffer.concat(chunks).toString('latin1'), closed: once(socket, 'close') };
}

async function shownBy(port: number): Promise<string> {
  const socket = await handshake(port, { rejectUnauthorized: false });
  const { fingerprint256 } = socket.getPeerCertificate();
  socket.destroy();
  return fingerprint256;
}

function messages(app: RunningApp): readonly string[] {
  return app.logLines.map(({ msg }) => msg);
}

describe('a listener with TLS', () => {
  it('serves as a plain one beside it does', async () => {
    const { registry, app } = await start();
    const digest = registry.addBlob('library/app', { size: 3 * MIB, seed: 1 });
    const [secure = '', plain = ''] = app.urls;
    const path = `/v2/library/app/blobs/${digest}`;
    const cold = await get(secure + path, { ca, digestOnly: true });
    expect([cold.status, cold.digest, cold.complete]).toEqual([200, digest, true]);
    const warm = await get(plain + path, { digestOnly: true });
    expect([warm.status, warm.digest, warm.complete]).toEqual([200, digest, true]);
    expect(registry.count({ path: new RegExp(digest), method: 'GET' })).toBe(1);
  });

  it('speaks HTTP/1.1 alone', async () => {
    const { port } = await start();
    const socket = await handshake(port, { ALPNProtocols: ['h2', 'http/1.1'] });
    expect(socket.alpnProtocol).toBe('http/1.1');
    await expect(handshake(port, { ALPNProtocols: ['h2'] })).rejects.toThrow(/alert/);
  });

  it.each<[ListenerTls['minVersion'], NonNullable<ConnectionOptions['maxVersion']>, boolean]>([
    ['TLSv1.2', 'TLSv1.1', false],
    ['TLSv1.2', 'TLSv1.2', true],
    ['TLSv1.3', 'TLSv1.2', false],
    ['TLSv1.3', 'TLSv1.3', true],
  ])('from %s on takes a client of %s: %s', async (minVersion, maxVersion, taken) => {
    const { port } = await start(serverCertificate, minVersion);
    const ciphers = 'DEFAULT@SECLEVEL=0';
    const shaken = handshake(port, { minVersion: 'TLSv1', maxVersion, ciphers });
    if (taken) expect((await shaken).getProtocol()).toBe(maxVersion);
    else await expect(shaken).rejects.toThrow(/alert|protocol/i);
  });

  it('tells a client of plain HTTP what is wrong', async () => {
    const { port } = await start();
    const { socket, received, closed } = raw(port);
    socket.write('GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n');
    await closed;
    expect(received()).toMatch(/^HTTP\/1\.1 400 Bad Request\r\n[\s\S]*https:\/\//);
  });

  it('outlives clients of plain HTTP that are gone before they are told', async () => {
    const uncaught: unknown[] = [];
    const note = (error: unknown): void => void uncaught.push(error);
    process.on('uncaughtExceptionMonitor', note);
    onTestFinished(() => void process.off('uncaughtExceptionMonitor', note));
    const { app, port } = await start();
    for (let count = 0; count < 100; count += 1) {
      const { socket, closed } = raw(port);
      await once(socket, 'connect');
      socket.write('GET /v2/ HTTP/1.1\r\n\r\n');
      if (count % 2 === 0) socket.resetAndDestroy();
      else setImmediate(() => socket.resetAndDestroy());
      await closed;
    }
    expect((await get(`${app.url}/v2/`, { ca })).status).toBe(200);
    expect(uncaught).toEqual([]);
  });

  it('ends what is no handshake, and a client that leaves in the middle of one, and serves on', async () => {
    const { app, port } = await start();
    const { socket, closed } = raw(port);
    socket.write(Buffer.from([0x16, 3, 1, 0, 5, 1, 2, 3, 4, 5]));
    await closed;
    const leaver = raw(port);
    await once(leaver.socket, 'connect');
    leaver.socket.write(Buffer.from([0x16]));
    leaver.socket.resetAndDestroy();
    const silent = raw(port);
    await once(silent.socket, 'connect');
    silent.socket.destroy();
    expect((await get(`${app.url}/v2/`, { ca })).status).toBe(200);
  });

  it('does not wait for handshakes when it stops', async () => {
    const { app, port } = await start();
    const silent = raw(port);
    await once(silent.socket, 'connect');
    const halfway = raw(port);
    await once(halfway.socket, 'connect');
    halfway.socket.write(Buffer.from([0x16, 3, 1]));
    await vi.waitFor(async () => expect((await get(`${app.url}/v2/`, { ca })).status).toBe(200), SOON);
    const startedMs = performance.now();
    await app.app.close({ graceMs: 20_000 });
    expect(performance.now() - startedMs).toBeLessThan(10_000);
    await Promise.all([silent.closed, halfway.closed]);
  });
});

describe('a plain listener', () => {
  it('answers a TLS client with something that is no crash', async () => {
    const { app } = await start();
    const plain = Number(new URL(app.urls[1] ?? '').port);
    await expect(handshake(plain)).rejects.toThrow();
    expect((await get(`${app.urls[1]}/v2/`)).status).toBe(200);
  });
});

describe('a certificate whose files change', () => {
  it('is shown to new clients, while those who are connected notice nothing', async () => {
    const { registry, app, dir, port } = await start();
    const gate = new Gate();
    const digest = registry.addBlob('library/app', { size: 2 * MIB, seed: 1 });
    const transfer = await openGet(`${app.url}/v2/library/app/blobs/${digest}`, {
      ca,
      digestOnly: true,
      pauseAfter: { bytes: 1000, gate },
    });
    const before = await shownBy(port);
    await written(dir, selfSignedCertificate);
    await vi.waitFor(async () => expect(await shownBy(port)).not.toBe(before), SOON);
    gate.open();
    const { digest: received, complete } = await transfer.finished();
    expect([received, complete]).toEqual([digest, true]);
    expect(messages(app).filter((message) => message === 'a new certificate is used')).toHaveLength(1);
  });

  it('by a link that leads elsewhere, as in Kubernetes, is shown as well', async () => {
    const dir = await tempDir();
    await written(join(dir, 'first'), serverCertificate);
    await written(join(dir, 'second'), selfSignedCertificate);
    await symlink('first', join(dir, '..data'));
    const tls = {
      certFile: join(dir, '..data', 'tls.pem'),
      keyFile: join(dir, '..data', 'tls-key.pem'),
      minVersion: 'TLSv1.2',
    } as const;
    const app = await startApp({
      upstreams: [{ name: 'docker.io', url: 'http://127.0.0.1:1' }],
      listeners: [{ ...LOOPBACK, tls }],
    });
    const port = Number(new URL(app.url).port);
    const before = await shownBy(port);
    await symlink('second', join(dir, '..data_tmp'));
    await rename(join(dir, '..data_tmp'), join(dir, '..data'));
    await app.app.reload();
    expect(await shownBy(port)).not.toBe(before);
  });

  it.each<[string, (tls: ListenerTls) => Promise<void>, RegExp]>([
    [
      'do not fit',
      async ({ keyFile }) => writeFile(keyFile, clientCertificate.key),
      /does not belong.*tls\.pem/,
    ],
    ['are garbage', async ({ certFile }) => writeFile(certFile, 'garbage'), /usable certificate.*tls\.pem/],
    ['are gone', async ({ keyFile }) => rm(keyFile), /tls-key\.pem cannot be read \(ENOENT\)/],
    [
      'become a pipe',
      async ({ keyFile }) => {
        await rm(keyFile);
        execFileSync('mkfifo', [keyFile]);
      },
      /tls-key\.pem cannot be read: it is not a regular file/,
    ],
  ])('and %s leave the old one in use, and are told once', async (_what, spoil, reason) => {
    const { app, tls, dir, port } = await start();
    const before = await shownBy(port);
    await spoil(tls);
    const told = () => app.logLines.filter(({ level }) => level === 'error');
    await vi.waitFor(() => expect(told()).toHaveLength(1), SOON);
    expect(told()[0]).toMatchObject({
      msg: 'the new certificate cannot be used; the old one stays',
      reason: expect.stringMatching(reason) as unknown,
    });
    expect(await shownBy(port)).toBe(before);
    expect(JSON.stringify(app.logLines)).not.toContain('PRIVATE');
    await rm(tls.keyFile, { force: true });
    await written(dir, selfSignedCertificate);
    await vi.waitFor(async () => expect(await shownBy(port)).not.toBe(before), SOON);
    expect(told()).toHaveLength(1);
  });
});

describe('the end of a certificate', () => {
  it('is a metric', async () => {
    const { app } = await start();
    const { body } = await get(`${app.adminUrl}/metrics`);
    const line =
      /^entrepot_tls_certificate_expiry_timestamp_seconds\{listener="127\.0\.0\.1:0"\} (\d+)$/m.exec(
        body.toString(),
      );
    expect(Number(line?.[1])).toBe(Date.UTC(2120, 0, 1) / 1000);
  });

  it('is said when it has come, and when it is near', async () => {
    const { app } = await start(expiredCertificate);
    expect(messages(app)).toContain('the certificate has expired');
    const dir = await tempDir();
    const [cert, key] = [join(dir, 'cert.pem'), join(dir, 'key.pem')];
    const kind = [
      '-x509',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:prime256v1',
      '-nodes',
      '-days',
      '10',
    ];
    execFileSync('openssl', ['req', ...kind, '-subj', '/CN=x', '-keyout', key, '-out', cert], {
      stdio: 'ignore',
    });
    const tls = { certFile: cert, keyFile: key, minVersion: 'TLSv1.2' } as const;
    const upstreams = [{ name: 'docker.io', url: 'http://127.0.0.1:1' }];
    const soon = await startApp({ upstreams, listeners: [{ ...LOOPBACK, tls }] });
    expect(soon.logLines).toContainEqual(
      expect.objectContaining({ msg: 'the certificate expires soon', days: 9 }),
    );
    expect(messages(soon).filter((message) => message.includes('expire'))).toHaveLength(1);
  });
});

describe('several listeners', () => {
  it('all listen or none: a port in use is said, and nothing stays open', async () => {
    const blocker = createServer().listen(0, '127.0.0.1');
    await once(blocker, 'listening');
    onTestFinished(() => void blocker.close());
    const { port } = blocker.address() as AddressInfo;
    const free = createServer().listen(0, '127.0.0.1');
    await once(free, 'listening');
    const freePort = (free.address() as AddressInfo).port;
    await new Promise((resolve) => free.close(resolve));
    const starting = startApp({
      upstreams: [{ name: 'docker.io', url: 'http://127.0.0.1:1' }],
      listeners: [
        { host: '127.0.0.1', port: freePort },
        { host: '127.0.0.1', port },
      ],
    });
    await expect(starting).rejects.toThrow(
      `The registry cannot listen on 127.0.0.1:${port}: the port is in use.`,
    );
    await expect(get(`http://127.0.0.1:${freePort}/v2/`)).rejects.toThrow('ECONNREFUSED');
  });
});
