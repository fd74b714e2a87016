import { connect, createServer, type Socket } from 'node:net';
import { WideAreaLine } from './wide-area-line.ts';

/**
 * The process behind `startLineRelay`: hands connections on to a port of this machine as a wide-area line would. A
 * connection costs a round trip before its first byte is sent.
 */

const [listenPort = 0, targetPort = 0, delayMs = 0, bytesPerSecond = 0] = process.argv.slice(2).map(Number);
/** So many wait in memory before the sender is stopped. */
const WAITING_LIMIT_BYTES = 1024 * 1024;

const server = createServer({ noDelay: true, allowHalfOpen: true }, (client) => {
  const target = connect({ port: targetPort, host: '127.0.0.1', noDelay: true, allowHalfOpen: true });
  const readyAtMs = performance.now() + 2 * delayMs;
  carry(client, target, readyAtMs);
  carry(target, client, readyAtMs);
});
server.listen(listenPort, '127.0.0.1');

/** One direction. An end arrives after the last byte, a broken connection breaks the other at once. */
function carry(from: Socket, to: Socket, readyAtMs: number): void {
  const line = new WideAreaLine({ delayMs, bytesPerSecond }, (chunk) => void to.write(chunk));
  let timer: NodeJS.Timeout | undefined;
  let hasEnded = false;
  const advance = (): void => {
    clearTimeout(timer);
    const nowMs = performance.now();
    const due = nowMs < readyAtMs ? readyAtMs : line.advance(nowMs);
    const isFull = line.waitingBytes + to.writableLength > WAITING_LIMIT_BYTES;
    if (isFull) from.pause();
    else from.resume();
    if (hasEnded && line.isEmpty) to.end();
    if (due !== undefined) timer = setTimeout(advance, Math.max(1, due - nowMs));
  };
  from.on('data', (chunk: Buffer) => {
    line.put(chunk);
    advance();
  });
  from.once('end', () => {
    hasEnded = true;
    advance();
  });
  to.on('drain', advance);
  from.on('error', () => to.destroy());
  from.once('close', () => {
    if (hasEnded) return;
    clearTimeout(timer);
    to.destroy();
  });
  to.once('close', () => {
    clearTimeout(timer);
    from.destroy();
  });
}
