import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { IMAGE as SIGNED, signedImage } from '../bundle/signed-scene.ts';
import { type ExportScene, exportScene } from '../commands/export-scene.ts';
import { ContainerTools } from '../support/container-tools.ts';
import { ContainerdProcess } from '../support/containerd-process.ts';
import { DockerDaemon } from '../support/docker-daemon.ts';
import { expectImageInLayout } from '../support/image-layout.ts';
import { buildImage, type BuiltImage } from '../support/images.ts';
import { describeWith } from '../support/programs.ts';

/** What entrepot export writes, read by the programs that it is for. */

const SINGLE = buildImage({ seed: 1, layerSizes: [2000, 700_000], flavour: 'docker' });
const MANY = buildImage({ seed: 2, platforms: ['linux/amd64', 'linux/arm64'], layerSizes: [3000, 400_000] });
const SIGNED_NAME = 'docker.io/library/app:v1';
const NAMES = { single: 'docker.io/library/single:v1', many: 'docker.io/team/many:v2' };

/** Both images in the cache, exported: `args` are those of `entrepot export`. */
async function exported(...args: readonly string[]): Promise<ExportScene> {
  const scene = await exportScene([
    { repository: 'library/single', tag: 'v1', image: SINGLE },
    { repository: 'team/many', tag: 'v2', image: MANY },
  ]);
  const ended = await scene.run('export', NAMES.single, NAMES.many, ...args);
  expect(ended).toMatchObject({ code: 0 });
  // Nothing that was not carried can help.
  await rm(scene.dataDir, { recursive: true });
  return scene;
}

function configOf(image: BuiltImage, platform = 'linux/amd64'): string | undefined {
  return image.manifests.find((each) => each.platform === platform)?.config.digest;
}

describeWith({ programs: ['skopeo'] }, 'skopeo', () => {
  test('copies an image of an exported tar and directory by its name, all platforms, byte for byte', async () => {
    const tools = await ContainerTools.open();
    for (const [transport, output] of [
      ['oci-archive', 'all.tar'],
      ['oci', 'layout'],
    ] as const) {
      const { workingDir } = await exported('--output', output);
      const source = `${transport}:${join(workingDir, output)}:${NAMES.many}`;
      await tools.skopeo.succeed('copy', '--all', '--preserve-digests', source, `oci:${transport}:v1`);
      await expectImageInLayout(join(tools.directory, transport), MANY);
    }
  });

  // By its name it finds only manifests of OCI's own types in a layout.
  test('copies an image with a manifest of Docker’s out of a tar of its own, byte for byte', async () => {
    const tools = await ContainerTools.open();
    const { workingDir } = await exported('--split-images', '--output', 'images');
    const source = `oci-archive:${join(workingDir, 'images', 'docker.io_library_single_v1.tar')}`;
    await tools.skopeo.succeed('copy', '--preserve-digests', source, 'dir:single');
    for (const { digest, bytes } of SINGLE.blobs)
      expect((await readFile(join(tools.directory, 'single', digest.slice(7)))).equals(bytes)).toBe(true);
    const manifest = await readFile(join(tools.directory, 'single', 'manifest.json'));
    expect(manifest.equals(SINGLE.root.bytes)).toBe(true);
  });

  test('copies the platform that was exported out of an index that lists more', async () => {
    const tools = await ContainerTools.open();
    const { workingDir } = await exported('--platform', 'linux/amd64', '--output', 'amd.tar');
    const source = `oci-archive:${join(workingDir, 'amd.tar')}:${NAMES.many}`;
    await tools.skopeo.succeed('--override-os=linux', '--override-arch=amd64', 'copy', source, 'dir:amd');
    const copied = await tools.skopeo.succeed('inspect', '--raw', 'dir:amd');
    expect(copied.trim()).toBe(MANY.manifests[0]?.bytes.toString());
  });
});

describeWith({ programs: ['containerd', 'ctr'], root: true }, 'ctr images import', () => {
  test('takes an exported tar with its names, digests and all platforms', async () => {
    const { workingDir } = await exported('--output', 'all.tar');
    const containerd = await ContainerdProcess.start();
    await containerd.ctr('images', 'import', '--all-platforms', '--no-unpack', join(workingDir, 'all.tar'));
    for (const [name, image] of [
      [NAMES.single, SINGLE],
      [NAMES.many, MANY],
    ] as const) {
      expect(await containerd.digestOf(name)).toBe(image.root.digest);
      const there = await containerd.contents();
      for (const { digest } of [image.root, ...image.manifests, ...image.blobs])
        expect(there).toContain(digest);
    }
  });

  test('takes an image whose signatures came along', async () => {
    const { run, workingDir } = await signedImage();
    await run('export', 'app:v1', '--with-referrers', '--output', 'signed.tar');
    const containerd = await ContainerdProcess.start();
    await containerd.ctr(
      'images',
      'import',
      '--all-platforms',
      '--no-unpack',
      join(workingDir, 'signed.tar'),
    );
    expect(await containerd.digestOf(SIGNED_NAME)).toBe(SIGNED.root.digest);
  });

  test('takes a tar of one platform, and unpacks it', async () => {
    const { workingDir } = await exported('--platform', 'linux/amd64', '--output', 'amd.tar');
    const containerd = await ContainerdProcess.start();
    const file = join(workingDir, 'amd.tar');
    await containerd.ctr('images', 'import', '--snapshotter=native', '--platform=linux/amd64', file);
    for (const [name, { root }] of [
      [NAMES.single, SINGLE],
      [NAMES.many, MANY],
    ] as const)
      expect(await containerd.digestOf(name)).toBe(root.digest);
  });
});

describeWith({ programs: ['dockerd', 'containerd'], root: true }, 'docker load', () => {
  test('takes an image whose signatures came along', async () => {
    const { run, workingDir } = await signedImage();
    await run('export', 'app:v1', '--with-referrers', '--platform', 'linux/amd64', '--output', 'signed.tar');
    const daemon = await DockerDaemon.start({});
    await daemon.load(join(workingDir, 'signed.tar'));
    expect((await daemon.image(SIGNED_NAME)).Id).toBe(configOf(SIGNED));
  });

  test('takes every image of an exported tar, and one platform of each', async () => {
    const { workingDir } = await exported('--platform', 'linux/amd64,linux/arm64', '--output', 'all.tar');
    const daemon = await DockerDaemon.start({});
    await daemon.load(join(workingDir, 'all.tar'));
    // A daemon with graph drivers keeps no manifests: an image is called by its config.
    expect((await daemon.image(NAMES.single)).Id).toBe(configOf(SINGLE));
    expect(await daemon.image(NAMES.many)).toMatchObject({ Id: configOf(MANY), Architecture: 'amd64' });
  });

  test('takes the platform that was exported', async () => {
    const { workingDir } = await exported('--platform', 'linux/arm64', '--output', 'arm.tar');
    const daemon = await DockerDaemon.start({});
    await daemon.load(join(workingDir, 'arm.tar'));
    const loaded = await daemon.image(NAMES.many);
    expect(loaded).toMatchObject({ Id: configOf(MANY, 'linux/arm64'), Architecture: 'arm64' });
  });
});

describeWith({ programs: ['podman'], root: true }, 'podman load', () => {
  test('takes the tars of an export that was split by images, with their names and digests', async () => {
    const { workingDir } = await exported(
      '--platform',
      'linux/amd64',
      '--split-images',
      '--output',
      'images',
    );
    const tools = await ContainerTools.open();
    const podman = tools.podman();
    for (const [name, file, image] of [
      [NAMES.single, 'docker.io_library_single_v1.tar', SINGLE],
      [NAMES.many, 'docker.io_team_many_v2.tar', MANY],
    ] as const) {
      await podman.succeed('load', '--quiet', '--input', join(workingDir, 'images', file));
      const [loaded] = JSON.parse(await podman.succeed('image', 'inspect', name)) as readonly {
        readonly Id: string;
        readonly RepoDigests: readonly string[];
      }[];
      expect(`sha256:${loaded?.Id}`).toBe(configOf(image));
      const repository = name.slice(0, name.lastIndexOf(':'));
      expect(loaded?.RepoDigests).toContain(`${repository}@${image.root.digest}`);
    }
  });
});
