import { join } from 'node:path';
import { expect, test } from 'vitest';
import { ContainerTools, mirrorOfDockerHub } from '../support/container-tools.ts';
import type { DockerRegistryProcess } from '../support/docker-registry-process.ts';
import type { EntrepotProcess } from '../support/entrepot-process.ts';
import { eachBlobOnce, expectImageInLayout } from '../support/image-layout.ts';
import { buildImage, type BuiltImage } from '../support/images.ts';
import { describeWith } from '../support/programs.ts';
import { RegistryScene } from '../support/registry-scene.ts';

const MULTI_PLATFORM = {
  platforms: ['linux/amd64', 'linux/arm64', 'linux/s390x'],
  layerSizes: [2000, 1_500_000],
};
const CLIENT_COUNT = 20;

interface Setting {
  readonly upstream: DockerRegistryProcess;
  readonly entrepot: EntrepotProcess;
  readonly tools: ContainerTools;
  /** `docker://…` of the image at entrepot. */
  readonly source: string;
}

async function settle(image: BuiltImage, config: Readonly<Record<string, unknown>> = {}): Promise<Setting> {
  const scene = await RegistryScene.start({ 'docker.io': { 'library/sample:v1': image } }, config);
  const { entrepot } = scene;
  const tools = await ContainerTools.open({ registries: mirrorOfDockerHub(entrepot.host) });
  return {
    upstream: scene.upstream('docker.io'),
    entrepot,
    tools,
    source: `docker://${entrepot.host}/library/sample:v1`,
  };
}

async function copyAll({ tools, source }: Setting, to: string): Promise<void> {
  const options = ['--all', '--preserve-digests', '--src-tls-verify=false'];
  await tools.skopeo.succeed('copy', ...options, source, `oci:${to}:v1`);
}

async function expectImage({ tools }: Setting, layout: string, image: BuiltImage): Promise<void> {
  await expectImageInLayout(join(tools.directory, layout), image);
}

describeWith({ programs: ['skopeo', 'docker-registry'] }, 'skopeo', () => {
  test('copies all platforms cold, warm and with the upstream away, byte for byte', async () => {
    const image = buildImage(MULTI_PLATFORM);
    const setting = await settle(image);
    await copyAll(setting, 'cold');
    await expectImage(setting, 'cold', image);
    expect(setting.upstream.blobGets).toEqual(eachBlobOnce(image));
    expect(setting.upstream.manifestGets).toHaveLength(1 + image.manifests.length);

    setting.upstream.forget();
    await copyAll(setting, 'warm');
    await expectImage(setting, 'warm', image);
    expect(setting.upstream.accesses).toEqual([]);

    await setting.upstream.stop();
    await copyAll(setting, 'alone');
    await expectImage(setting, 'alone', image);
  });

  test('copies with the upstream away although the tag has outlived its lifetime', async () => {
    const image = buildImage(MULTI_PLATFORM);
    const setting = await settle(image, { cache: { tagTtl: '0s' } });
    await copyAll(setting, 'cold');
    await setting.upstream.stop();
    await copyAll(setting, 'alone');
    await expectImage(setting, 'alone', image);
    await expect.poll(() => setting.entrepot.requests.some(({ outcome }) => outcome === 'stale')).toBe(true);
  });

  test('copies what its registries.conf maps to the mirror', async () => {
    const image = buildImage(MULTI_PLATFORM);
    const setting = await settle(image);
    await copyAll({ ...setting, source: 'docker://docker.io/sample:v1' }, 'mapped');
    await expectImage(setting, 'mapped', image);
    expect(setting.upstream.blobGets).toEqual(eachBlobOnce(image));
  });

  test('copies from a path that names the upstream', async () => {
    const image = buildImage();
    const setting = await settle(image);
    await copyAll({ ...setting, source: `docker://${setting.entrepot.host}/docker.io/sample:v1` }, 'direct');
    await expectImage(setting, 'direct', image);
  });

  test('inspects an image and lists its tags', async () => {
    const image = buildImage();
    const { upstream, entrepot, tools, source } = await settle(image);
    await upstream.push('library/sample', 'v2', buildImage({ seed: 2 }));
    const inspect = ['inspect', '--tls-verify=false', source];
    const inspected = JSON.parse(await tools.skopeo.succeed(...inspect)) as Record<string, unknown>;
    expect(inspected).toMatchObject({
      Digest: image.root.digest,
      RepoTags: ['v1', 'v2'],
      Architecture: 'amd64',
      Layers: image.manifests[0]?.layers.map(({ digest }) => digest),
    });
    const list = ['list-tags', '--tls-verify=false', `docker://${entrepot.host}/library/sample`];
    expect(JSON.parse(await tools.skopeo.succeed(...list))).toMatchObject({ Tags: ['v1', 'v2'] });
    // To look at an image costs none of its layers.
    expect([...upstream.blobGets.keys()]).toEqual([image.manifests[0]?.config.digest]);

    await upstream.stop();
    expect(JSON.parse(await tools.skopeo.succeed(...list))).toMatchObject({ Tags: ['v1', 'v2'] });
    expect(JSON.parse(await tools.skopeo.succeed(...inspect))).toEqual(inspected);
  });

  test('is told that an image does not exist', async () => {
    const { entrepot, tools } = await settle(buildImage());
    const absent = `docker://${entrepot.host}/library/sample:absent`;
    const { code, stderr } = await tools.skopeo.run('inspect', '--tls-verify=false', absent);
    expect(code).not.toBe(0);
    expect(stderr).toContain('manifest unknown');
  });

  test('cannot write', async () => {
    const { upstream, entrepot, tools, source } = await settle(buildImage());
    const target = `docker://${entrepot.host}/library/mine:v1`;
    const options = ['--src-tls-verify=false', '--dest-tls-verify=false'];
    const { code } = await tools.skopeo.run('copy', ...options, source, target);
    expect(code).not.toBe(0);
    expect(upstream.accesses.every(({ method }) => method === 'GET' || method === 'HEAD')).toBe(true);
  });

  test(`${CLIENT_COUNT} at once have a cold image of several platforms, each blob fetched once`, async () => {
    const image = buildImage(MULTI_PLATFORM);
    const setting = await settle(image);
    const layouts = Array.from({ length: CLIENT_COUNT }, (_, number) => `client-${number}`);
    await Promise.all(layouts.map((layout) => copyAll(setting, layout)));
    for (const layout of layouts) await expectImage(setting, layout, image);
    expect(setting.upstream.blobGets).toEqual(eachBlobOnce(image));
    expect(setting.upstream.manifestGets).toHaveLength(1 + image.manifests.length);
    const failures = setting.entrepot.log.filter(({ level }) => level === 'error' || level === 'warn');
    expect(failures).toEqual([]);
  });
});
