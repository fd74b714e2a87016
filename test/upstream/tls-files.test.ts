import { rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { TLSSocket } from 'node:tls';
import { expect, it, onTestFinished, vi } from 'vitest';
import { OCI_MANIFEST } from '../../src/oci/media-type.ts';
import { closeAfterTest } from '../support/close-after-test.ts';
import { FakeRegistry } from '../support/fake-registry.ts';
import { SOON } from '../support/soon.ts';
import { tempDir } from '../support/temp-dir.ts';
import {
  certificateAuthority as ca,
  clientCertificate,
  elsewhereCertificate,
  selfSignedCertificate,
  serverCertificate,
} from './certificates.ts';
import {
  failure,
  latest,
  manifestText,
  never,
  once,
  RecordingObserver,
  repository,
  upstreamAt,
} from './upstream-under-test.ts';

async function waitFor(check: () => Promise<unknown>): Promise<void> {
  await vi.waitFor(check, { ...SOON, interval: 200 });
}

it('an authority that changes is used for the next connection', async () => {
  const registry = closeAfterTest(await FakeRegistry.start({ tls: serverCertificate }));
  registry.addManifest(repository, manifestText(), OCI_MANIFEST, ['latest']);
  const file = join(await tempDir(), 'ca.pem');
  await writeFile(file, selfSignedCertificate.cert);
  const tls = { ca: selfSignedCertificate.cert, insecure: false, files: { ca: file } };
  const upstream = upstreamAt(registry.url, { tls });
  const error = await failure(upstream.getManifest(repository, latest, once, never()));
  expect(error.message).toContain('certificate');
  await writeFile(file, ca);
  await waitFor(async () => upstream.getManifest(repository, latest, once, never()));
});

it('a client certificate that changes is shown; one that cannot be used is told once, and the old one stays', async () => {
  const shown: string[] = [];
  const server = createServer(
    { ...serverCertificate, ca, requestCert: true, rejectUnauthorized: false },
    ({ socket }, response) => {
      if (!(socket instanceof TLSSocket)) throw new Error('not TLS');
      shown.push(String(socket.getPeerCertificate().subject.CN));
      response.writeHead(404, { connection: 'close' }).end();
    },
  );
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  onTestFinished(() => server.closeAllConnections());
  onTestFinished(() => void server.close());
  const dir = await tempDir();
  const files = { cert: join(dir, 'client.pem'), key: join(dir, 'client-key.pem') };
  await writeFile(files.cert, clientCertificate.cert);
  await writeFile(files.key, clientCertificate.key);
  const observer = new RecordingObserver();
  const config = { tls: { ca, insecure: false, ...clientCertificate, files } };
  const { port } = server.address() as AddressInfo;
  const upstream = upstreamAt(`https://127.0.0.1:${port}`, config, { observer });
  const next = async (): Promise<string | undefined> => {
    await failure(upstream.getManifest(repository, latest, once, never()));
    return shown.at(-1);
  };
  expect(await next()).toBe('entrepot test client');
  // The certificate alone does not fit the key that is still there.
  await writeFile(files.cert, elsewhereCertificate.cert);
  await waitFor(async () => {
    expect(await next()).toBe('entrepot test client');
    expect(observer.named('refusedTlsFiles')).toHaveLength(1);
  });
  expect(observer.named('refusedTlsFiles')[0]?.facts['problem']).toMatch(
    /^no usable .*client\.pem, .*client-key\.pem$/,
  );
  await writeFile(files.key, elsewhereCertificate.key);
  await waitFor(async () => expect(await next()).toBe('entrepot test elsewhere'));
  await rm(files.key);
  await waitFor(async () => {
    expect(await next()).toBe('entrepot test elsewhere');
    expect(observer.named('refusedTlsFiles')).toHaveLength(2);
  });
  expect(observer.named('refusedTlsFiles')[1]?.facts['problem']).toBe(
    `${files.key} cannot be read: there is no such file`,
  );
});
