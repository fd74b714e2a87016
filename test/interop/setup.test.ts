import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { ContainerdProcess } from '../support/containerd-process.ts';
import { ContainerTools } from '../support/container-tools.ts';
import { DockerDaemon } from '../support/docker-daemon.ts';
import { runEntrepot } from '../support/entrepot-process.ts';
import { buildImage, type BuiltImage } from '../support/images.ts';
import { describeWith } from '../support/programs.ts';
import { RegistryScene } from '../support/registry-scene.ts';
import { tempDir } from '../support/temp-dir.ts';
import { certificateAuthority, serverCertificate } from '../upstream/certificates.ts';

/** What `entrepot setup` makes, read by the programs that it is for. */

const HUB = buildImage();
const OTHER = buildImage({ seed: 2 });

interface Setting {
  readonly scene: RegistryScene;
  /** Where `--write` put the files. */
  readonly root: string;
  /** `host:port` of the cache. */
  readonly host: string;
  readonly steps: readonly string[];
}

/** Docker Hub and another registry, behind a cache that the client is set up for. */
async function settle(
  client: string,
  scheme: 'http' | 'https',
  ...args: readonly string[]
): Promise<Setting> {
  const directory = await tempDir();
  const [cert, key, ca] = ['cert.pem', 'key.pem', 'ca.pem'].map((name) => join(directory, name));
  await writeFile(String(cert), serverCertificate.cert);
  await writeFile(String(key), serverCertificate.key, { mode: 0o600 });
  await writeFile(String(ca), certificateAuthority);
  const tls = scheme === 'https' ? { tls: { cert, key } } : {};
  const scene = await RegistryScene.start(
    { 'docker.io': { 'library/sample:v1': HUB }, 'quay.example': { 'team/app:v1': OTHER } },
    tls,
  );
  const { url, host } = scene.entrepot;
  const upstreams = { 'docker.io': {}, 'quay.example': {} };
  await writeFile(join(directory, 'config.yaml'), JSON.stringify({ ...tls, publicUrl: url, upstreams }));
  const root = join(directory, 'root');
  const trust = scheme === 'https' ? ['--ca', String(ca)] : [];
  const { code, stdout, stderr } = await runEntrepot(
    ['setup', client, '--config', 'config.yaml', '--write', root, '--json', ...trust, ...args],
    { workingDir: directory },
  );
  expect(stderr).toMatch(/this machine only/);
  expect(code).toBe(0);
  const { steps } = JSON.parse(stdout) as { readonly steps: readonly string[] };
  return { scene, root, host, steps };
}

/** Everything that was asked came by the cache, and the upstream named has given its blobs once. */
async function expectPulled({ scene }: Setting, upstream: string, image: BuiltImage): Promise<void> {
  const outcomes = () => scene.entrepot.requests.filter(({ kind }) => kind === 'blob');
  await expect.poll(() => outcomes().length).toBeGreaterThanOrEqual(image.blobs.length);
  expect(scene.upstream(upstream).blobGets).toEqual(new Map(image.blobs.map(({ digest }) => [digest, 1])));
}

describeWith({ programs: ['dockerd', 'docker-registry'], root: true }, 'what setup makes for dockerd', () => {
  test('is taken by the daemon, which then pulls as the steps say', async () => {
    const setting = await settle('dockerd', 'http');
    const text = await readFile(join(setting.root, 'etc/docker/daemon.json'), 'utf8');
    const daemon = await DockerDaemon.start(JSON.parse(text) as Record<string, unknown>);
    await daemon.pull('sample:v1');
    await expectPulled(setting, 'docker.io', HUB);
    // The prefix form, with an image that is there in place of the example.
    const step = setting.steps.find((line) => line.startsWith(`docker pull ${setting.host}/quay.example/`));
    const reference = step?.replace('docker pull ', '').replace('repository:tag', 'team/app:v1') ?? '';
    await daemon.pull(reference);
    await expectPulled(setting, 'quay.example', OTHER);
  });
});

describeWith(
  { programs: ['containerd', 'ctr', 'docker-registry'], root: true },
  'what setup makes for containerd',
  () => {
    test.each([
      ['http', 'one file for each registry', []],
      ['http', 'one file for all', ['--catch-all']],
      ['https', 'one file for each registry', []],
      ['https', 'one file for all', ['--catch-all']],
    ] as const)('works over %s with %s', async (scheme, _, args) => {
      const setting = await settle('containerd', scheme, ...args);
      const containerd = await ContainerdProcess.start();
      const certs = join(setting.root, 'etc/containerd/certs.d');
      const found = args.length > 0 ? ['_default'] : ['docker.io', 'quay.example'];
      for (const name of [...found, setting.host]) {
        const text = await readFile(join(certs, name, 'hosts.toml'), 'utf8').catch(() => undefined);
        // Below the root that stands for /, so is the authority.
        if (text !== undefined)
          await containerd.hosts(name, text.replaceAll('"/etc/containerd/certs.d', `"${certs}`));
      }
      await containerd.pull('docker.io/library/sample:v1');
      await expectPulled(setting, 'docker.io', HUB);
      await containerd.pull('quay.example/team/app:v1');
      await expectPulled(setting, 'quay.example', OTHER);
      await containerd.pull(`${setting.host}/quay.example/team/app:v1`);
      expect(await containerd.digestOf(`${setting.host}/quay.example/team/app:v1`)).toBe(OTHER.root.digest);
    });
  },
);

describeWith({ programs: ['skopeo', 'docker-registry'] }, 'what setup makes for skopeo', () => {
  test.each(['http', 'https'] as const)('works over %s', async (scheme) => {
    const setting = await settle('skopeo', scheme);
    const { tools, trust } = await toolsOf(setting, scheme);
    const hub = await tools.skopeo.succeed(
      'inspect',
      '--no-tags',
      ...trust,
      'docker://docker.io/library/sample:v1',
    );
    expect(JSON.parse(hub)).toMatchObject({ Digest: HUB.root.digest });
    const other = await tools.skopeo.succeed(
      'inspect',
      '--no-tags',
      ...trust,
      'docker://quay.example/team/app:v1',
    );
    expect(JSON.parse(other)).toMatchObject({ Digest: OTHER.root.digest });
    expect(setting.scene.entrepot.requests.filter(({ status }) => status !== 200)).toEqual([]);
  });
});

describeWith(
  { programs: ['podman', 'buildah', 'docker-registry'], root: true },
  'what setup makes for Podman and Buildah',
  () => {
    test.each(['http', 'https'] as const)('works over %s', async (scheme) => {
      const setting = await settle('podman', scheme);
      const { tools, trust } = await toolsOf(setting, scheme);
      await tools.podman().succeed('pull', '--quiet', ...trust, 'docker.io/library/sample:v1');
      await expectPulled(setting, 'docker.io', HUB);
      await tools.buildah().succeed('pull', '--quiet', ...trust, 'quay.example/team/app:v1');
      await expectPulled(setting, 'quay.example', OTHER);
    });
  },
);

/** The same file for all of them; where it is, and the authority's, is said by options. */
async function toolsOf({ root, host }: Setting, scheme: string) {
  const path = join(root, 'etc/containers/registries.conf.d/50-entrepot.conf');
  const tools = await ContainerTools.open({ registries: await readFile(path, 'utf8') });
  const directory = join(root, 'etc/containers/certs.d', host);
  return { tools, trust: scheme === 'https' ? [`--cert-dir=${directory}`] : [] };
}

describeWith({ programs: ['crane', 'docker-registry'] }, 'what setup says to crane', () => {
  test('works', async () => {
    const setting = await settle('crane', 'http');
    expect(await said(setting, 'crane')).toBe(`${OTHER.root.digest}\n`);
  });
});

describeWith({ programs: ['oras', 'docker-registry'] }, 'what setup says to ORAS', () => {
  test('works', async () => {
    const setting = await settle('oras', 'http');
    expect(JSON.parse(await said(setting, 'oras'))).toEqual(JSON.parse(OTHER.root.bytes.toString()));
  });
});

/** What the step for the other registry prints, with an image that is there. */
async function said({ steps }: Setting, program: string): Promise<string> {
  const step = steps
    .find((line) => line.includes('/quay.example/'))
    ?.replace('repository:tag', 'team/app:v1');
  const [name, ...args] = step?.split(' ') ?? [];
  expect(name).toBe(program);
  const tools = await ContainerTools.open();
  return tools.tool(program).succeed(...args);
}
