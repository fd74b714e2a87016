import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { ContainerTools, mirrorOfDockerHub } from '../support/container-tools.ts';
import { DockerRegistryProcess } from '../support/docker-registry-process.ts';
import { EntrepotProcess, runEntrepot } from '../support/entrepot-process.ts';
import { eachBlobOnce, expectImageInLayout } from '../support/image-layout.ts';
import { buildImage } from '../support/images.ts';
import { describeWith } from '../support/programs.ts';
import { tempDir } from '../support/temp-dir.ts';

describeWith({ programs: ['skopeo', 'docker-registry'] }, 'warmed from a real registry', () => {
  test('an image is fetched once, and skopeo copies it with the registry away', async () => {
    const image = buildImage({ platforms: ['linux/amd64', 'linux/arm64'], layerSizes: [2000, 1_500_000] });
    const upstream = await DockerRegistryProcess.start();
    await upstream.push('library/sample', 'v1', image);
    upstream.forget();
    const workingDir = await tempDir();
    const file = join(workingDir, 'config.yaml');
    const config = {
      listen: '127.0.0.1:0',
      admin: { listen: '127.0.0.1:0' },
      dataDir: './data',
      upstreams: { 'docker.io': { url: upstream.url } },
    };
    await writeFile(file, JSON.stringify(config));
    await writeFile(join(workingDir, 'Dockerfile'), 'ARG VERSION=v1\nFROM sample:${VERSION}\n');

    const args = ['warm', '--config', file, '--from', 'Dockerfile', '--with-referrers'];
    const cold = await runEntrepot(args, { workingDir });
    expect(cold).toMatchObject({ code: 0 });
    expect(cold.stdout).toContain('1 of 1 image is in the cache');
    expect(upstream.blobGets).toEqual(eachBlobOnce(image));
    expect(upstream.manifestGets).toHaveLength(1 + image.manifests.length);
    upstream.forget();
    expect(await runEntrepot(args, { workingDir })).toMatchObject({ code: 0 });
    expect([upstream.blobGets.size, upstream.manifestGets.length]).toEqual([0, 0]);
    await upstream.stop();

    const entrepot = await EntrepotProcess.spawn(['serve', '--config', file], { workingDir });
    const tools = await ContainerTools.open({ registries: mirrorOfDockerHub(entrepot.host) });
    const source = `docker://${entrepot.host}/library/sample:v1`;
    const options = ['--all', '--preserve-digests', '--src-tls-verify=false'];
    await tools.skopeo.succeed('copy', ...options, source, 'oci:warmed:v1');
    await expectImageInLayout(join(tools.directory, 'warmed'), image);
    expect(new Set(entrepot.requests.map(({ outcome }) => outcome))).toEqual(new Set(['hit']));
  });
});
