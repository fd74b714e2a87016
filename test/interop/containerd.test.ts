import { expect, test } from 'vitest';
import { ContainerdProcess } from '../support/containerd-process.ts';
import type { DockerRegistryProcess } from '../support/docker-registry-process.ts';
import type { EntrepotProcess } from '../support/entrepot-process.ts';
import { eachBlobOnce } from '../support/image-layout.ts';
import { buildImage, type BuiltImage } from '../support/images.ts';
import { describeWith } from '../support/programs.ts';
import { RegistryScene } from '../support/registry-scene.ts';

const MULTI_PLATFORM = { platforms: ['linux/amd64', 'linux/arm64'], layerSizes: [2000, 2_000_000] };

interface Setting {
  readonly hub: DockerRegistryProcess;
  readonly internal: DockerRegistryProcess;
  readonly entrepot: EntrepotProcess;
  readonly containerd: ContainerdProcess;
}

/** Two upstreams that hold different images under the same name: only `ns` tells which is meant. */
async function settle(hubImage: BuiltImage, internalImage: BuiltImage): Promise<Setting> {
  const scene = await RegistryScene.start({
    'docker.io': { 'library/sample:v1': hubImage },
    'registry.example.com': { 'library/sample:v1': internalImage },
  });
  const hub = scene.upstream('docker.io');
  const internal = scene.upstream('registry.example.com');
  return { hub, internal, entrepot: scene.entrepot, containerd: await ContainerdProcess.start() };
}

/** `server` is the cache too, so that nothing can go past it. */
function hostsToml(url: string, more = ''): string {
  return `server = "${url}"\n[host."${url}"]\ncapabilities = ["pull", "resolve"]\n${more}`;
}

function digestsOf(image: BuiltImage): readonly string[] {
  return [image.root, ...image.manifests, ...image.blobs].map(({ digest }) => digest);
}

describeWith({ programs: ['containerd', 'ctr', 'docker-registry'], root: true }, 'containerd', () => {
  test('pulls all platforms cold, warm and with the upstream away', async () => {
    const image = buildImage(MULTI_PLATFORM);
    const { hub, entrepot, containerd } = await settle(image, buildImage({ seed: 2 }));
    await containerd.hosts('docker.io', hostsToml(entrepot.url));
    const name = 'docker.io/library/sample:v1';
    await containerd.pull(name, '--all-platforms');
    expect(await containerd.digestOf(name)).toBe(image.root.digest);
    expect(await containerd.contents()).toEqual(expect.arrayContaining([...digestsOf(image)]));
    expect(hub.blobGets).toEqual(eachBlobOnce(image));
    expect(hub.manifestGets).toHaveLength(1 + image.manifests.length);

    await containerd.remove(name);
    expect(await containerd.contents()).toEqual([]);
    hub.forget();
    await containerd.pull(name, '--all-platforms');
    expect(hub.accesses).toEqual([]);

    await containerd.remove(name);
    await hub.stop();
    await containerd.pull(name, '--all-platforms');
    expect(await containerd.contents()).toEqual(expect.arrayContaining([...digestsOf(image)]));
  });

  test('two at once have all platforms of a cold image, each blob fetched once', async () => {
    const image = buildImage(MULTI_PLATFORM);
    const { hub, entrepot, containerd } = await settle(image, buildImage({ seed: 2 }));
    const both = [containerd, await ContainerdProcess.start()];
    await Promise.all(
      both.map(async (one) => {
        await one.hosts('docker.io', hostsToml(entrepot.url));
        await one.pull('docker.io/library/sample:v1', '--all-platforms');
      }),
    );
    for (const one of both) {
      expect(await one.digestOf('docker.io/library/sample:v1')).toBe(image.root.digest);
      expect(await one.contents()).toEqual(expect.arrayContaining([...digestsOf(image)]));
    }
    expect(hub.blobGets).toEqual(eachBlobOnce(image));
    expect(hub.manifestGets).toHaveLength(1 + image.manifests.length);
  });

  test('says with ns which registry it means, with one hosts.toml for all', async () => {
    const hubImage = buildImage();
    const internalImage = buildImage({ seed: 2 });
    const { hub, internal, entrepot, containerd } = await settle(hubImage, internalImage);
    const mirror = `[host."${entrepot.url}"]\ncapabilities = ["pull", "resolve"]\n`;
    await containerd.hosts('_default', mirror);
    await containerd.pull('registry.example.com/library/sample:v1');
    expect(await containerd.digestOf('registry.example.com/library/sample:v1')).toBe(
      internalImage.root.digest,
    );
    expect(hub.accesses).toEqual([]);
    await containerd.pull('docker.io/library/sample:v1');
    expect(await containerd.digestOf('docker.io/library/sample:v1')).toBe(hubImage.root.digest);
    expect(internal.blobGets.size).toBe(internalImage.blobs.length);
  });

  test.each([
    ['before /v2', (url: string) => hostsToml(`${url}/registry.example.com`)],
    ['after /v2', (url: string) => hostsToml(`${url}/v2/registry.example.com`, 'override_path = true\n')],
  ])('pulls by a path that names the registry %s', async (_, toml) => {
    const image = buildImage({ seed: 2 });
    const { hub, entrepot, containerd } = await settle(buildImage(), image);
    await containerd.hosts('registry.example.com', toml(entrepot.url));
    const name = 'registry.example.com/library/sample:v1';
    await containerd.pull(name);
    expect(await containerd.digestOf(name)).toBe(image.root.digest);
    expect(hub.accesses).toEqual([]);
  });
});
