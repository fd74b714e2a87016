import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect, type LookupFunction } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { expect, it, onTestFinished } from 'vitest';
import { OCI_MANIFEST } from '../../src/oci/media-type.ts';
import { closeAfterTest } from '../support/close-after-test.ts';
import { FakeRegistry } from '../support/fake-registry.ts';
import {
  latest,
  manifestText,
  never,
  once as oneTry,
  repository,
  upstreamAt,
} from './upstream-under-test.ts';

/** An address where nobody answers, not even with a refusal: a listener whose queue is full and that is stopped. */
async function deafAt(host: string, port: number): Promise<void> {
  const script = `require('net').createServer().listen({host:'${host}',port:${port},backlog:1},()=>console.log('up'))`;
  const child = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
  onTestFinished(() => void child.kill('SIGKILL'));
  await once(child.stdout, 'data');
  child.kill('SIGSTOP');
  for (;;) {
    const socket = connect(port, host);
    socket.on('error', () => undefined);
    onTestFinished(() => void socket.destroy());
    const state = { isTaken: false };
    socket.once('connect', () => (state.isTaken = true));
    // In several turns of the event loop: one timer may be late, and come before the word that it is taken.
    for (let look = 0; look < 6 && !state.isTaken; look += 1) await delay(50);
    if (!state.isTaken) return;
  }
}

function resolvingTo(...addresses: string[]): LookupFunction {
  const found = addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 }));
  return (_hostname, _options, callback) => callback(null, found);
}

it.each([
  ['IPv6', '127.0.0.1', '::1'],
  ['IPv4', '::1', '127.0.0.1'],
])(
  'a host whose %s address is dead is reached by its other one within a second',
  async (_what, alive, dead) => {
    const registry = closeAfterTest(await FakeRegistry.start({ hostname: alive }));
    registry.addManifest(repository, manifestText(), OCI_MANIFEST, ['latest']);
    await deafAt(dead, registry.port);
    const lookup = resolvingTo(dead, alive);
    const times: number[] = [];
    for (let round = 0; round < 8 && !times.some((ms) => ms < 1000); round += 1) {
      const upstream = upstreamAt(`http://registry.test:${registry.port}`, {}, { lookup });
      const startedMs = performance.now();
      await upstream.getManifest(repository, latest, oneTry, never());
      times.push(performance.now() - startedMs);
    }
    // The best of several, if need be: the others measure the machine's other work.
    expect(Math.min(...times)).toBeLessThan(1000);
    expect(Math.min(...times)).toBeGreaterThan(100);
  },
);

it('an address that refuses costs no time at all', async () => {
  const registry = closeAfterTest(await FakeRegistry.start());
  registry.addManifest(repository, manifestText(), OCI_MANIFEST, ['latest']);
  const upstream = upstreamAt(
    `http://registry.test:${registry.port}`,
    {},
    { lookup: resolvingTo('::1', '127.0.0.1') },
  );
  await upstream.getManifest(repository, latest, oneTry, never());
  expect(registry.requests).toHaveLength(1);
});
