import { expect, test } from 'vitest';
import { type ContainerTool, ContainerTools, mirrorOfDockerHub } from '../support/container-tools.ts';
import type { DockerRegistryProcess } from '../support/docker-registry-process.ts';
import type { EntrepotProcess } from '../support/entrepot-process.ts';
import { eachBlobOnce } from '../support/image-layout.ts';
import { buildImage, type BuiltImage } from '../support/images.ts';
import { describeWith } from '../support/programs.ts';
import { RegistryScene } from '../support/registry-scene.ts';

const MULTI_PLATFORM = { platforms: ['linux/amd64', 'linux/arm64'], layerSizes: [2000, 2_000_000] };
const IMAGE = 'docker.io/library/sample:v1';

interface Setting {
  readonly upstream: DockerRegistryProcess;
  readonly entrepot: EntrepotProcess;
  readonly tools: ContainerTools;
}

async function settle(image: BuiltImage, config: Readonly<Record<string, unknown>> = {}): Promise<Setting> {
  const scene = await RegistryScene.start({ 'docker.io': { 'library/sample:v1': image } }, config);
  const { entrepot } = scene;
  const tools = await ContainerTools.open({ registries: mirrorOfDockerHub(`${entrepot.host}/docker.io`) });
  return { upstream: scene.upstream('docker.io'), entrepot, tools };
}

interface PodmanImage {
  readonly Id: string;
  readonly RepoDigests: readonly string[];
  readonly Architecture: string;
}

async function inspect(podman: ContainerTool): Promise<PodmanImage> {
  const images = JSON.parse(await podman.succeed('image', 'inspect', IMAGE)) as readonly PodmanImage[];
  const [image] = images;
  if (!image) throw new Error('podman has no such image');
  return image;
}

/** podman's image id is the config's digest without its algorithm. */
function imageId(image: BuiltImage, number = 0): string | undefined {
  return image.manifests[number]?.config.digest.slice('sha256:'.length);
}

describeWith({ programs: ['podman', 'docker-registry'], root: true }, 'podman', () => {
  test('pulls through its mirror cold, warm and with the upstream away', async () => {
    const image = buildImage(MULTI_PLATFORM);
    const { upstream, entrepot, tools } = await settle(image);
    const podman = tools.podman();
    await podman.succeed('pull', '--quiet', IMAGE);
    const cold = await inspect(podman);
    expect(cold.Id).toBe(imageId(image));
    expect(cold.RepoDigests).toContain(`docker.io/library/sample@${image.root.digest}`);
    expect(upstream.blobGets).toEqual(eachBlobOnce(image, 'linux/amd64'));
    expect(upstream.manifestGets).toHaveLength(2);

    await podman.succeed('rmi', '--force', IMAGE);
    upstream.forget();
    await podman.succeed('pull', '--quiet', IMAGE);
    expect(await inspect(podman)).toMatchObject({ Id: cold.Id, RepoDigests: cold.RepoDigests });
    expect(upstream.accesses).toEqual([]);

    await podman.succeed('rmi', '--force', IMAGE);
    await upstream.stop();
    await podman.succeed('pull', '--quiet', IMAGE);
    expect((await inspect(podman)).Id).toBe(cold.Id);
    expect(entrepot.requests.filter(({ status }) => status !== 200)).toEqual([]);
  });

  test('pulls with the upstream away although the tag has outlived its lifetime', async () => {
    const image = buildImage(MULTI_PLATFORM);
    const { upstream, entrepot, tools } = await settle(image, { cache: { tagTtl: '0s' } });
    await tools.podman('first').succeed('pull', '--quiet', IMAGE);
    await upstream.stop();
    const second = tools.podman('second');
    await second.succeed('pull', '--quiet', IMAGE);
    expect((await inspect(second)).Id).toBe(imageId(image));
    await expect.poll(() => entrepot.requests.some(({ outcome }) => outcome === 'stale')).toBe(true);
  });

  test('two at once have a cold image, each blob fetched once', async () => {
    const image = buildImage(MULTI_PLATFORM);
    const { upstream, tools } = await settle(image);
    const both = [tools.podman('first'), tools.podman('second')];
    await Promise.all(both.map((podman) => podman.succeed('pull', '--quiet', IMAGE)));
    for (const podman of both) {
      expect((await inspect(podman)).RepoDigests).toContain(`docker.io/library/sample@${image.root.digest}`);
    }
    expect(upstream.blobGets).toEqual(eachBlobOnce(image, 'linux/amd64'));
    expect(upstream.manifestGets).toHaveLength(2);
  });

  test('pulls each platform of an index', async () => {
    const image = buildImage(MULTI_PLATFORM);
    const { upstream, tools } = await settle(image);
    for (const [number, { platform }] of image.manifests.entries()) {
      const podman = tools.podman(`platform-${number}`);
      await podman.succeed('pull', '--quiet', `--platform=${platform}`, IMAGE);
      expect(await inspect(podman)).toMatchObject({
        Id: imageId(image, number),
        Architecture: platform.split('/')[1],
      });
    }
    expect(upstream.blobGets).toEqual(eachBlobOnce(image));
  });

  test('pulls by digest straight from entrepot, without library/ in the name', async () => {
    const image = buildImage();
    const { entrepot, tools } = await settle(image);
    const podman = tools.podman();
    const reference = `${entrepot.host}/docker.io/sample@${image.root.digest}`;
    expect((await podman.succeed('pull', '--quiet', '--tls-verify=false', reference)).trim()).toBe(
      imageId(image),
    );
  });
});

describeWith({ programs: ['buildah', 'docker-registry'], root: true }, 'buildah', () => {
  test('two at once pull through their mirror cold, then each platform warm and with the upstream away', async () => {
    const image = buildImage(MULTI_PLATFORM);
    const { upstream, tools } = await settle(image);
    const pull = async (buildah: ContainerTool, number: number, name = IMAGE) => {
      const platform = `--platform=${image.manifests[number]?.platform}`;
      expect((await buildah.succeed('pull', '--quiet', platform, name)).trim()).toBe(imageId(image, number));
      await buildah.succeed('rmi', '--all', '--force');
    };
    const first = tools.buildah('first');
    await Promise.all([pull(first, 0), pull(tools.buildah('second'), 0)]);
    expect(upstream.blobGets).toEqual(eachBlobOnce(image, 'linux/amd64'));
    expect(upstream.manifestGets).toHaveLength(2);
    await pull(first, 1);
    expect(upstream.blobGets).toEqual(eachBlobOnce(image));

    upstream.forget();
    await pull(first, 0);
    await pull(first, 1);
    expect(upstream.accesses).toEqual([]);
    await upstream.stop();
    await pull(first, 0);
    // It checks what it gets against the digest of the index.
    await pull(first, 1, `docker.io/library/sample@${image.root.digest}`);
  });
});
