import { EventEmitter, once } from 'node:events';
import { readdirSync, readlinkSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { connect, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { Exchange } from '../../src/http/exchange.ts';
import { Listener } from '../../src/http/listener.ts';
import { closeAfterTest } from '../support/close-after-test.ts';
import { FakeRegistry } from '../support/fake-registry.ts';
import { Gate } from '../support/gate.ts';
import { get } from '../support/http-get.ts';
import { type RunningApp, startApp } from '../support/running-app.ts';
import { SOON } from '../support/soon.ts';

const MIB = 1024 * 1024;

async function start(): Promise<{ registry: FakeRegistry; app: RunningApp }> {
  const registry = closeAfterTest(await FakeRegistry.start());
  const app = await startApp({ upstreams: [{ name: 'docker.io', url: registry.url }] });
  return { registry, app };
}

/** A connection that the test writes to by hand. */
function connection(app: RunningApp): { socket: Socket; received: () => string } {
  const socket = connect(Number(new URL(app.url).port), '127.0.0.1');
  const chunks: Buffer[] = [];
  socket.on('error', () => undefined);
  socket.on('data', (chunk) => chunks.push(chunk));
  onTestFinished(() => void socket.destroy());
  return { socket, received: () => Buffer.concat(chunks).toString('latin1') };
}

function requestOf(path: string): string {
  return `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`;
}

function openContentFiles(dataDir: string): number {
  return readdirSync('/proc/self/fd').filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).startsWith(`${dataDir}/content/`);
    } catch {
      return false;
    }
  }).length;
}

function requestLines(app: RunningApp): readonly (typeof app.logLines)[number][] {
  return app.logLines.filter(({ bytes }) => bytes !== undefined);
}

describe('requests sent without waiting for answers', () => {
  it('are answered one after the other, in their order, with a log line each', async () => {
    const { app } = await start();
    const { socket, received } = connection(app);
    socket.write(requestOf('/v2/') + requestOf('/v2/nothing') + requestOf('/v2/'));
    await vi.waitFor(() => expect(received().match(/HTTP\/1\.1 \d+/g)).toHaveLength(3), SOON);
    expect(received().match(/HTTP\/1\.1 \d+/g)).toEqual(['HTTP/1.1 200', 'HTTP/1.1 404', 'HTTP/1.1 200']);
    await vi.waitFor(
      () => expect(requestLines(app).map(({ status }) => status)).toEqual([200, 404, 200]),
      SOON,
    );
  });

  it('hold nothing open once the client has left', async () => {
    const { registry, app } = await start();
    const digest = registry.addBlob('library/app', { size: 20 * MIB, seed: 1 });
    const path = `/v2/library/app/blobs/${digest}`;
    await get(app.url + path, { digestOnly: true });
    await vi.waitFor(() => expect(openContentFiles(app.dataDir)).toBe(0), SOON);
    for (let round = 0; round < 3; round += 1) {
      const { socket } = connection(app);
      socket.pause();
      socket.write(requestOf(path).repeat(3));
      await vi.waitFor(() => expect(openContentFiles(app.dataDir)).toBeGreaterThan(0), SOON);
      await delay(50);
      socket.destroy();
      await vi.waitFor(() => expect(openContentFiles(app.dataDir)).toBe(0), SOON);
    }
    // The first one of each connection was begun; its followers never were.
    expect(requestLines(app)).toHaveLength(1 + 3);
  });

  it('ask nothing of an upstream before their turn, and not at all when the client has left', async () => {
    const { registry, app } = await start();
    const first = registry.addBlob('library/app', { size: 1000, seed: 1 });
    const second = registry.addBlob('library/app', { size: 1000, seed: 2 });
    const gate = new Gate();
    registry.faults.add({ match: { path: new RegExp(first) }, action: { gate } });
    const { socket } = connection(app);
    socket.write(requestOf(`/v2/library/app/blobs/${first}`) + requestOf(`/v2/library/app/blobs/${second}`));
    await gate.arrived();
    socket.destroy();
    await vi.waitFor(() => expect(requestLines(app)).toHaveLength(1), SOON);
    gate.open();
    await delay(100);
    expect(registry.count({ path: new RegExp(second) })).toBe(0);
  });

  it('end the connection when there are too many', async () => {
    const { registry, app } = await start();
    const digest = registry.addBlob('library/app', { size: 1000, seed: 1 });
    registry.faults.add({ match: {}, action: { hang: true } });
    const { socket } = connection(app);
    const closed = new Promise((resolve) => socket.once('close', resolve));
    socket.write(requestOf(`/v2/library/app/blobs/${digest}`).repeat(200));
    await closed;
    expect(requestLines(app)).toHaveLength(1);
  });
});

describe('a broken request', () => {
  it('is answered 400 on a connection without a response in progress', async () => {
    const { app } = await start();
    const { socket, received } = connection(app);
    socket.write(requestOf('/v2/'));
    await vi.waitFor(() => expect(received()).toContain('{}'), SOON);
    socket.write('garbage\r\n\r\n');
    await vi.waitFor(() => expect(received()).toContain('HTTP/1.1 400'), SOON);
  });

  it('puts nothing into the body of a running response, but breaks it off', async () => {
    const { registry, app } = await start();
    const digest = registry.addBlob('library/app', { size: 2 * MIB, seed: 1 });
    registry.faults.add({ match: { method: 'GET' }, action: { bytesPerSecond: 500_000 } });
    const { socket, received } = connection(app);
    const closed = new Promise((resolve) => socket.once('close', resolve));
    socket.write(requestOf(`/v2/library/app/blobs/${digest}`));
    await vi.waitFor(() => expect(received().length).toBeGreaterThan(1000), SOON);
    socket.write('garbage\r\n\r\n');
    await closed;
    expect(received()).not.toContain('HTTP/1.1 400');
    expect(received().length).toBeLessThan(2 * MIB);
  });

  it('does not pass for the answer to the request before it', async () => {
    const { registry, app } = await start();
    const digest = registry.addBlob('library/app', { size: 1000, seed: 1 });
    const gate = new Gate();
    registry.faults.add({ match: {}, action: { gate } });
    const { socket, received } = connection(app);
    const closed = new Promise((resolve) => socket.once('close', resolve));
    socket.write(requestOf(`/v2/library/app/blobs/${digest}`));
    await gate.arrived();
    socket.write('garbage\r\n\r\n');
    await closed;
    gate.open();
    expect(received()).toBe('');
  });

  it('does not take away the answer that is leaving before it', async () => {
    const { app } = await start();
    const { socket, received } = connection(app);
    const closed = new Promise((resolve) => socket.once('close', resolve));
    socket.write(`${requestOf('/v2/')}garbage\r\n\r\n`);
    await closed;
    expect(received()).toContain('{}');
    expect(received()).not.toContain('HTTP/1.1 400');
  });
});

/** A reader that a busy machine lets wait for some seconds has not stalled. */
const SLOW = { writeStallMs: 10_000, slowWriteMs: 2000 };

/** One answer by `serve`, read as the test likes; `over` tells whether it was sent whole, and when it ended. */
async function asked(
  serve: (response: ServerResponse, request: IncomingMessage) => void,
  pace: { readonly writeStallMs: number; readonly slowWriteMs: number },
) {
  const ended = new EventEmitter();
  const over = once(ended, 'over') as Promise<[{ isWhole: boolean; ms: number }]>;
  const listener = await Listener.open(
    'the test',
    { host: '127.0.0.1', port: 0 },
    (request, response) => {
      const startedMs = performance.now();
      response.on('close', () =>
        ended.emit('over', { isWhole: response.writableFinished, ms: performance.now() - startedMs }),
      );
      serve(response, request);
    },
    { pace },
  );
  onTestFinished(async () => listener.close(0));
  const socket = connect(listener.address.port, '127.0.0.1');
  socket.on('error', () => undefined);
  onTestFinished(() => void socket.destroy());
  socket.write(requestOf('/'));
  return { socket, over: over.then(([how]) => how) };
}

describe('a client that does not take its answer', () => {
  it('is left when nothing of a small answer goes', async () => {
    const pace = { writeStallMs: 500, slowWriteMs: 30_000 };
    const { socket, over } = await asked(
      (response, request) => sendAtOnce(request, response, 32 * MIB),
      pace,
    );
    socket.pause();
    const { isWhole, ms } = await over;
    expect(isWhole).toBe(false);
    expect(ms).toBeLessThan(pace.slowWriteMs);
  });

  it('is left when it takes too long for what was written at once', async () => {
    const { socket, over } = await asked(
      (response, request) => sendAtOnce(request, response, 128 * MIB),
      SLOW,
    );
    readSlowly(socket);
    const { isWhole, ms } = await over;
    expect(isWhole).toBe(false);
    expect(ms).toBeGreaterThanOrEqual(SLOW.slowWriteMs);
  });

  it('is waited for as long as we have nothing for it', async () => {
    const { socket, over } = await asked(
      (response) => {
        response.writeHead(200, { 'Content-Length': 2 });
        response.write('a');
        setTimeout(() => response.end('b'), 2000);
      },
      { writeStallMs: 500, slowWriteMs: 1500 },
    );
    socket.resume();
    expect((await over).isWhole).toBe(true);
  });

  it('may be slow while piece after piece goes', async () => {
    const { socket, over } = await asked((response) => {
      const send = (rest: number): void => {
        if (rest === 0) response.end();
        else
          response.write(Buffer.alloc(MIB), (error) => {
            if (!error) send(rest - 1);
          });
      };
      send(40);
    }, SLOW);
    readSlowly(socket);
    const { isWhole, ms } = await over;
    expect(isWhole).toBe(true);
    expect(ms).toBeGreaterThan(SLOW.slowWriteMs);
  });
});

function sendAtOnce(request: IncomingMessage, response: ServerResponse, sizeBytes: number): void {
  new Exchange(request, response).end(200, {}, Buffer.alloc(sizeBytes));
}

/** About 8 MiB/s: slow, but far more than the kernel's windows hide. */
function readSlowly(socket: Socket): void {
  let left = 0;
  socket.on('data', ({ length }) => {
    left -= length;
    if (left <= 0) socket.pause();
  });
  const timer = setInterval(() => {
    left = MIB / 2;
    socket.resume();
  }, 60);
  onTestFinished(() => clearInterval(timer));
}
