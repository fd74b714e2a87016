import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { ContainerTools } from '../support/container-tools.ts';
import { DockerDaemon } from '../support/docker-daemon.ts';
import { DockerRegistryProcess } from '../support/docker-registry-process.ts';
import { EntrepotProcess } from '../support/entrepot-process.ts';
import { buildImage, type BuiltImage } from '../support/images.ts';
import { describeWith } from '../support/programs.ts';
import { tempDir } from '../support/temp-dir.ts';
import { certificateAuthority, serverCertificate } from '../upstream/certificates.ts';

/** entrepot with TLS and nothing else, before a docker-registry. */
async function settle(image: BuiltImage): Promise<EntrepotProcess> {
  const upstream = await DockerRegistryProcess.start();
  await upstream.push('library/sample', 'v1', image);
  const dir = await tempDir();
  const tls = { cert: join(dir, 'tls.pem'), key: join(dir, 'tls-key.pem') };
  await writeFile(tls.cert, serverCertificate.cert);
  await writeFile(tls.key, serverCertificate.key);
  const upstreams = { 'docker.io': { url: upstream.url, default: true } };
  const entrepot = await EntrepotProcess.start({ config: { upstreams, tls } });
  expect(entrepot.url).toMatch(/^https:/);
  return entrepot;
}

function blobCount(entrepot: EntrepotProcess): number {
  return entrepot.requests.filter(({ kind, status }) => kind === 'blob' && status === 200).length;
}

describeWith({ programs: ['skopeo', 'docker-registry'] }, 'skopeo over TLS', () => {
  test('copies with the authority that it was given, and does not without', async () => {
    const image = buildImage();
    const entrepot = await settle(image);
    const tools = await ContainerTools.open();
    const source = `docker://${entrepot.host}/library/sample:v1`;
    const { code, stderr } = await tools.skopeo.run('copy', source, 'dir:without');
    expect([code, stderr]).toEqual([expect.any(Number), expect.stringMatching(/certificate/)]);
    expect(blobCount(entrepot)).toBe(0);
    const certificates = join(tools.directory, 'certificates');
    await mkdir(certificates);
    await writeFile(join(certificates, 'ca.crt'), certificateAuthority);
    await tools.skopeo.succeed('copy', `--src-cert-dir=${certificates}`, source, 'dir:with');
    await expect.poll(() => blobCount(entrepot)).toBe(image.blobs.length);
  });
});

describeWith({ programs: ['dockerd', 'docker-registry'], root: true }, 'a Docker daemon over TLS', () => {
  // Of a registry on loopback it does not check the certificate; everything else is as anywhere.
  test('pulls through its mirror', async () => {
    const image = buildImage();
    const entrepot = await settle(image);
    const daemon = await DockerDaemon.start({ 'registry-mirrors': [entrepot.url] });
    await daemon.pull('sample:v1');
    expect((await daemon.image('sample:v1')).RepoDigests).toEqual([`sample@${image.root.digest}`]);
    await expect.poll(() => blobCount(entrepot)).toBe(image.blobs.length);
  });
});
