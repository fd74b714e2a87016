import { stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { digestHex } from '../../src/oci/digest.ts';
import { ContainerTools, mirrorOfDockerHub } from '../support/container-tools.ts';
import { ContainerdProcess } from '../support/containerd-process.ts';
import { DockerDaemon } from '../support/docker-daemon.ts';
import { DockerRegistryProcess } from '../support/docker-registry-process.ts';
import { EntrepotProcess, type ProcessOptions, runEntrepot } from '../support/entrepot-process.ts';
import { buildImage } from '../support/images.ts';
import { describeWith } from '../support/programs.ts';
import { routelessNetwork } from '../support/routeless-network.ts';
import { tempDir } from '../support/temp-dir.ts';

const MULTI = buildImage({ platforms: ['linux/amd64', 'linux/arm64'], layerSizes: [2000, 2_000_000] });
const ONE = buildImage({ seed: 2 });

/** @throws with what it said when it fails */
async function entrepot(args: readonly string[], options: ProcessOptions): Promise<string> {
  const { code, stdout, stderr } = await runEntrepot(args, options);
  if (code !== 0) throw new Error(`entrepot ${args.join(' ')}: ${code}\n${stdout}\n${stderr}`);
  return stdout;
}

describeWith(
  {
    programs: ['docker-registry', 'dockerd', 'containerd', 'ctr', 'podman', 'unshare', 'nsenter', 'ip'],
    root: true,
  },
  'a site without a network',
  () => {
    test('is given what was warmed elsewhere, and real clients pull it there', async () => {
      const here = await tempDir();
      const upstream = await DockerRegistryProcess.start();
      await upstream.push('library/sample', 'v1', MULTI);
      await upstream.push('library/other', 'v2', ONE);
      const config = { dataDir: './data', upstreams: { 'docker.io': { url: upstream.url } } };
      await writeFile(join(here, 'config.yaml'), JSON.stringify(config));
      await entrepot(['keygen', '--output', 'site'], { workingDir: here });
      const common = ['--config', 'config.yaml'];
      await entrepot(['warm', 'sample:v1', 'other:v2', ...common], { workingDir: here });
      const out = ['--output', 'site.tar', '--max-part-size', '1MiB', '--sign', 'site.key'];
      await entrepot(['export', 'sample:v1', 'other:v2', ...out, ...common], { workingDir: here });
      await upstream.stop();
      expect((await stat(join(here, 'site.tar.002'))).size).toBeGreaterThan(0);

      const within = await routelessNetwork();
      const site = await tempDir();
      const theirs = {
        listen: '127.0.0.1:5000',
        admin: { listen: '127.0.0.1:5001' },
        dataDir: './data',
        offline: true,
        bundle: { publicKeys: [join(here, 'site.pub')] },
      };
      await writeFile(join(site, 'config.yaml'), JSON.stringify(theirs));
      const options = { workingDir: site, within };
      const served = await EntrepotProcess.spawn(['serve', ...common], options);
      const imported = await entrepot(['import', join(here, 'site.tar.001'), '--json', ...common], options);
      expect(JSON.parse(imported)).toMatchObject({ added: 2, failures: [] });
      const again = await entrepot(['import', join(here, 'site.tar.001'), '--json', ...common], options);
      expect(JSON.parse(again)).toMatchObject({ added: 0, present: 2, blobs: 0, failures: [] });
      expect(await entrepot(['verify', ...common], options)).toContain('all sound');

      const daemon = await DockerDaemon.start({ 'registry-mirrors': [served.url] }, { within });
      await daemon.pull('sample:v1');
      expect(await daemon.image('sample:v1')).toMatchObject({
        Id: MULTI.manifests[0]?.config.digest,
        RepoDigests: [`sample@${MULTI.root.digest}`],
      });
      await daemon.pull('other:v2');
      expect((await daemon.image('other:v2')).RepoDigests).toEqual([`other@${ONE.root.digest}`]);

      const containerd = await ContainerdProcess.start({ within });
      const toml = `server = "${served.url}"\n[host."${served.url}"]\ncapabilities = ["pull", "resolve"]\n`;
      await containerd.hosts('docker.io', toml);
      await containerd.pull('docker.io/library/sample:v1', '--all-platforms');
      expect(await containerd.digestOf('docker.io/library/sample:v1')).toBe(MULTI.root.digest);
      expect(await containerd.contents()).toEqual(
        expect.arrayContaining([MULTI.root, ...MULTI.manifests, ...MULTI.blobs].map(({ digest }) => digest)),
      );

      const registries = mirrorOfDockerHub(`${served.host}/docker.io`);
      const tools = await ContainerTools.open({ registries, within });
      const podman = tools.podman();
      await podman.succeed('pull', '--quiet', 'docker.io/library/sample:v1');
      const [image] = JSON.parse(
        await podman.succeed('image', 'inspect', 'docker.io/library/sample:v1'),
      ) as readonly { readonly Id: string; readonly RepoDigests: readonly string[] }[];
      expect(image?.RepoDigests).toContain(`docker.io/library/sample@${MULTI.root.digest}`);
      expect(image?.Id).toBe(MULTI.manifests[0] && digestHex(MULTI.manifests[0].config.digest));
    }, 120_000);
  },
);
