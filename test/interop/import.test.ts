import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { ContainerTools } from '../support/container-tools.ts';
import { DockerDaemon } from '../support/docker-daemon.ts';
import { EntrepotProcess, runEntrepot } from '../support/entrepot-process.ts';
import { get } from '../support/http-get.ts';
import { buildImage, type BuiltImage, writeOciLayout } from '../support/images.ts';
import { describeWith } from '../support/programs.ts';
import { RegistryScene } from '../support/registry-scene.ts';

interface Imported {
  readonly images: readonly { readonly name: string; readonly digest: string; readonly isMade: boolean }[];
  readonly failures: readonly unknown[];
}

const UPSTREAMS = { 'docker.io': { url: 'http://127.0.0.1:9' }, 'quay.io': { url: 'http://127.0.0.1:9' } };
const MULTI = buildImage({ platforms: ['linux/amd64', 'linux/arm64'], layerSizes: [2000, 700_000] });
const ONE = buildImage({ seed: 2 });

/** Into a new data directory. */
async function imported(directory: string, ...args: readonly string[]): Promise<Imported> {
  const config = join(directory, 'config.yaml');
  await writeFile(config, JSON.stringify({ dataDir: './data', offline: true, upstreams: UPSTREAMS }));
  const ended = await runEntrepot(['import', ...args, '--json', '--config', config], {
    workingDir: directory,
  });
  if (ended.code !== 0) throw new Error(`${ended.stdout}\n${ended.stderr}`);
  return JSON.parse(ended.stdout) as Imported;
}

/** All of it is served from there, byte for byte. */
async function expectServed(
  directory: string,
  repository: string,
  tag: string,
  { root, manifests, blobs }: BuiltImage,
): Promise<void> {
  const config = { offline: true, upstreams: UPSTREAMS };
  const entrepot = await EntrepotProcess.start({ config, dataDir: join(directory, 'data') });
  const base = `${entrepot.url}/v2/${repository}`;
  const answer = await get(`${base}/manifests/${tag}`, { headers: { accept: root.mediaType } });
  expect(answer.body.equals(root.bytes)).toBe(true);
  for (const { digest, mediaType, bytes } of manifests) {
    const one = await get(`${base}/manifests/${digest}`, { headers: { accept: mediaType } });
    expect(one.body.equals(bytes)).toBe(true);
  }
  for (const { digest, bytes } of blobs)
    expect((await get(`${base}/blobs/${digest}`)).body.equals(bytes)).toBe(true);
  await entrepot.stop();
}

describeWith({ programs: ['skopeo'] }, 'an archive that skopeo wrote', () => {
  test('as OCI keeps all platforms, its digests and its name', async () => {
    const tools = await ContainerTools.open();
    const { directory } = tools;
    await writeOciLayout(join(directory, 'layout'), MULTI, 'v1');
    await tools.skopeo.succeed(
      'copy',
      '--all',
      '--preserve-digests',
      'oci:layout:v1',
      'oci-archive:app.tar:docker.io/library/app:v1',
    );
    expect(await imported(directory, 'app.tar')).toMatchObject({
      images: [{ name: 'docker.io/library/app:v1', digest: MULTI.root.digest, isMade: false }],
    });
    await expectServed(directory, 'library/app', 'v1', MULTI);
  });

  test('for docker gets a manifest of its own', async () => {
    const tools = await ContainerTools.open();
    const { directory } = tools;
    await writeOciLayout(join(directory, 'layout'), ONE, 'v1');
    await tools.skopeo.succeed('copy', 'oci:layout:v1', 'docker-archive:app.tar:quay.io/org/app:v1');
    const { images } = await imported(directory, 'app.tar');
    expect(images).toMatchObject([{ name: 'quay.io/org/app:v1', isMade: true }]);
  });

  test('of a layout directory is imported with its tag', async () => {
    const tools = await ContainerTools.open();
    const { directory } = tools;
    await writeOciLayout(join(directory, 'layout'), MULTI, 'v1');
    await tools.skopeo.succeed('copy', '--all', '--preserve-digests', 'oci:layout:v1', 'oci:copied:v2');
    expect(await imported(directory, 'copied', '--as', 'app')).toMatchObject({
      images: [{ name: 'docker.io/library/app:v2', digest: MULTI.root.digest }],
    });
    await expectServed(directory, 'library/app', 'v2', MULTI);
  });
});

describeWith({ programs: ['umoci'] }, 'a layout that umoci changed', () => {
  test('is imported with the images that it has now', async () => {
    const tools = await ContainerTools.open();
    const { directory } = tools;
    await writeOciLayout(join(directory, 'layout'), ONE, 'v1');
    await tools
      .tool('umoci')
      .succeed('config', '--image', 'layout:v1', '--tag', 'v2', '--config.cmd', '/other');
    const { images } = await imported(directory, 'layout', '--as', 'quay.io/org/app');
    expect(images.map(({ name }) => name).toSorted()).toEqual(['quay.io/org/app:v1', 'quay.io/org/app:v2']);
    expect(images.find(({ name }) => name.endsWith('v1'))?.digest).toBe(ONE.root.digest);
    await expectServed(directory, 'quay.io/org/app', 'v1', ONE);
  });
});

describeWith({ programs: ['buildah'], root: true }, 'an archive that buildah pushed', () => {
  test('is imported under the name that it was given', async () => {
    const tools = await ContainerTools.open();
    const { directory } = tools;
    await writeOciLayout(join(directory, 'layout'), ONE, 'v1');
    const buildah = tools.buildah();
    const id = (await buildah.succeed('pull', '--quiet', 'oci:layout:v1')).trim();
    await buildah.succeed('push', id, 'oci-archive:app.tar:quay.io/org/app:v3');
    const { images } = await imported(directory, 'app.tar');
    expect(images).toMatchObject([{ name: 'quay.io/org/app:v3', isMade: false }]);
  });
});

describeWith(
  { programs: ['dockerd', 'docker-registry', 'skopeo'], root: true },
  'an archive of docker save',
  () => {
    test('is pulled from the cache by another daemon, with the same config', async () => {
      const scene = await RegistryScene.start({ 'docker.io': { 'library/sample:v1': ONE } });
      const source = await DockerDaemon.start({ 'registry-mirrors': [scene.entrepot.url] });
      await source.pull('sample:v1');
      const tools = await ContainerTools.open();
      const { directory } = tools;
      await mkdir(join(directory, 'saved'));
      await writeFile(join(directory, 'saved', 'sample.tar'), await source.save('sample:v1'));
      const { images } = await imported(directory, 'saved/sample.tar');
      expect(images).toMatchObject([{ name: 'docker.io/library/sample:v1', isMade: true }]);

      const config = { offline: true, upstreams: UPSTREAMS };
      const entrepot = await EntrepotProcess.start({ config, dataDir: join(directory, 'data') });
      const daemon = await DockerDaemon.start({ 'registry-mirrors': [entrepot.url] });
      await daemon.pull('sample:v1');
      const pulled = await daemon.image('sample:v1');
      expect(pulled.Id).toBe(ONE.manifests[0]?.config.digest);
      expect(pulled.RepoDigests).toEqual([`sample@${images[0]?.digest}`]);
      const answer = await get(`${entrepot.url}/v2/library/sample/manifests/v1`);
      expect(digestOf(answer.body)).toBe(images[0]?.digest);
    });
  },
);
