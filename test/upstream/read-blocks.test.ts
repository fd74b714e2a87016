import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { connect as connectTls, createServer as createTlsServer } from 'node:tls';
import { describe, expect, it, onTestFinished } from 'vitest';
import { giveBack, plainReads, tlsReads } from '../../src/upstream/read-blocks.ts';
import { sourcePieces } from '../support/byte-source.ts';
import { generatedBlob, generatedBlobDigest } from '../support/generated-blob.ts';
import { certificateAuthority, serverCertificate } from './certificates.ts';

const RECIPE = { size: 8 * 1024 * 1024, seed: 7 };

async function send(socket: Socket): Promise<void> {
  socket.on('error', () => undefined);
  for (const piece of sourcePieces(generatedBlob(RECIPE))) {
    if (!socket.write(piece)) await once(socket, 'drain');
  }
  socket.end();
}

async function listening(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  onTestFinished(() => void server.close());
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

async function plainSocket(): Promise<Socket> {
  const port = await listening(createServer((socket) => void send(socket)));
  return connect({ host: '127.0.0.1', port, onread: plainReads });
}

async function tlsSocket(): Promise<Socket> {
  const port = await listening(createTlsServer(serverCertificate, (socket) => void send(socket)));
  // Node documents `onread` of `tls.connect`; its types have it for sockets without TLS only.
  const options = { host: '127.0.0.1', port, ca: certificateAuthority, onread: tlsReads };
  return connectTls(options);
}

describe.each([
  ['plain', plainSocket],
  ['TLS', tlsSocket],
])('reads of a %s socket', (_kind, open) => {
  it('go into the same memory again, where it is given back', async () => {
    const hash = createHash('sha256');
    const memory = new Set<ArrayBufferLike>();
    let memoryBytes = 0;
    const socket = await open();
    socket.on('data', (chunk: Buffer) => {
      hash.update(chunk);
      if (!memory.has(chunk.buffer)) memoryBytes += chunk.buffer.byteLength;
      memory.add(chunk.buffer);
      giveBack(chunk);
    });
    await once(socket, 'end');
    expect(`sha256:${hash.digest('hex')}`).toBe(generatedBlobDigest(RECIPE));
    expect(memoryBytes).toBeLessThan(RECIPE.size / 2);
  });

  it('leave alone what is kept, and what was cut or is from elsewhere', async () => {
    const chunks: Buffer[] = [];
    for await (const chunk of (await open()) as AsyncIterable<Buffer>) {
      chunks.push(chunk);
      if (chunk.length > 1) giveBack(chunk.subarray(1));
      giveBack(chunk.subarray(0, chunk.length - 1));
      giveBack(Buffer.from(chunk));
    }
    const hash = createHash('sha256').update(Buffer.concat(chunks));
    expect(`sha256:${hash.digest('hex')}`).toBe(generatedBlobDigest(RECIPE));
  });
});

it('what is given back twice is used once', async () => {
  const chunks: Buffer[] = [];
  for await (const chunk of (await plainSocket()) as AsyncIterable<Buffer>) {
    chunks.push(Buffer.from(chunk));
    giveBack(chunk);
    giveBack(chunk);
  }
  const hash = createHash('sha256').update(Buffer.concat(chunks));
  expect(`sha256:${hash.digest('hex')}`).toBe(generatedBlobDigest(RECIPE));
  expect(new Set(free()).size).toBe(free().length);
});

/** Takes blocks until new ones are made, and puts nothing back. */
function free(): readonly ArrayBufferLike[] {
  const { buffer } = plainReads;
  if (typeof buffer !== 'function') throw new Error('a block is taken for each read');
  return Array.from({ length: 128 }, () => buffer().buffer);
}
