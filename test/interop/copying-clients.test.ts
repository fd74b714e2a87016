import { join } from 'node:path';
import { expect, test } from 'vitest';
import { ContainerTools } from '../support/container-tools.ts';
import { eachBlobOnce, expectImageInLayout } from '../support/image-layout.ts';
import { buildImage } from '../support/images.ts';
import { describeWith } from '../support/programs.ts';
import { RegistryScene } from '../support/registry-scene.ts';

/** Clients without mirrors: they take a reference that names us and, as its first segment, the registry. */
interface CopyingClient {
  readonly program: string;
  /** What it has to be told before it talks to us over plain http. */
  prepare?(tools: ContainerTools, host: string): Promise<void>;
  /** What copies all of `image` at `reference` into the OCI layout `layout`. */
  arguments(reference: string, layout: string): readonly string[];
  /** What prints the digest that a tag points to. */
  digest(reference: string): readonly string[];
  /** What prints the tags of a repository, one a line. */
  tags(repository: string): readonly string[];
}

const CLIENTS: readonly CopyingClient[] = [
  {
    program: 'crane',
    arguments: (reference, layout) => ['pull', '--format=oci', reference, layout],
    digest: (reference) => ['digest', reference],
    tags: (repository) => ['ls', repository],
  },
  {
    program: 'regctl',
    prepare: async (tools, host) => {
      await tools.tool('regctl').succeed('registry', 'set', '--tls=disabled', host);
    },
    arguments: (reference, layout) => ['image', 'copy', reference, `ocidir://${layout}:v1`],
    digest: (reference) => ['image', 'digest', reference],
    tags: (repository) => ['tag', 'ls', repository],
  },
  {
    program: 'oras',
    arguments: (reference, layout) => [
      'copy',
      '--from-plain-http',
      '--to-oci-layout',
      reference,
      `${layout}:v1`,
    ],
    digest: (reference) => ['resolve', '--plain-http', reference],
    tags: (repository) => ['repo', 'tags', '--plain-http', repository],
  },
];

const MULTI_PLATFORM = { platforms: ['linux/amd64', 'linux/arm64'], layerSizes: [2000, 1_500_000] };

async function settle(client: CopyingClient, config: Readonly<Record<string, unknown>> = {}) {
  const image = buildImage(MULTI_PLATFORM);
  const other = buildImage({ seed: 2 });
  const scene = await RegistryScene.start(
    { 'docker.io': { 'team/app:v1': other }, 'quay.example': { 'team/app:v1': image, 'team/app:v2': other } },
    config,
  );
  const tools = await ContainerTools.open();
  const repository = `${scene.entrepot.host}/quay.example/team/app`;
  await client.prepare?.(tools, scene.entrepot.host);
  const run = async (args: readonly string[]) => tools.tool(client.program).succeed(...args);
  return {
    image,
    scene,
    upstream: scene.upstream('quay.example'),
    tools,
    repository,
    /** Copies into the layout, and looks whether it has what the upstream has. */
    copy: async (layout: string) => {
      await run(client.arguments(`${repository}:v1`, join(tools.directory, layout)));
      await expectImageInLayout(join(tools.directory, layout), image);
    },
    run,
  };
}

for (const client of CLIENTS) {
  describeWith({ programs: [client.program, 'docker-registry'] }, client.program, () => {
    test('copies all platforms cold, warm and with the upstream away, byte for byte', async () => {
      const { image, scene, upstream, copy } = await settle(client);
      await copy('cold');
      expect(upstream.blobGets).toEqual(eachBlobOnce(image));
      expect(upstream.manifestGets).toHaveLength(1 + image.manifests.length);
      upstream.forget();
      await copy('warm');
      expect(upstream.accesses).toEqual([]);
      await upstream.stop();
      await copy('alone');
      expect(scene.upstream('docker.io').accesses).toEqual([]);
      expect(scene.entrepot.requests.filter(({ status }) => status !== 200)).toEqual([]);
    });

    test('two at once have a cold image, each blob fetched once', async () => {
      const { image, upstream, copy } = await settle(client);
      await Promise.all([copy('first'), copy('second')]);
      expect(upstream.blobGets).toEqual(eachBlobOnce(image));
      expect(upstream.manifestGets).toHaveLength(1 + image.manifests.length);
    });

    test('is served with the upstream away although the tag has outlived its lifetime', async () => {
      const { image, scene, upstream, repository, copy, run } = await settle(client, {
        cache: { tagTtl: '0s' },
      });
      await copy('cold');
      expect((await run(client.tags(repository))).trim().split('\n')).toEqual(['v1', 'v2']);
      await upstream.stop();
      await copy('alone');
      expect((await run(client.digest(`${repository}:v1`))).trim()).toBe(image.root.digest);
      expect((await run(client.tags(repository))).trim().split('\n')).toEqual(['v1', 'v2']);
      await expect.poll(() => scene.entrepot.requests.some(({ outcome }) => outcome === 'stale')).toBe(true);
    });

    test('sees a tag that moved upstream, and is told of one that is not there', async () => {
      const { scene, upstream, repository, run, tools } = await settle(client, { cache: { tagTtl: '0s' } });
      await run(client.digest(`${repository}:v1`));
      const moved = buildImage({ seed: 3 });
      await upstream.push('team/app', 'v1', moved);
      expect((await run(client.digest(`${repository}:v1`))).trim()).toBe(moved.root.digest);
      const { code } = await tools.tool(client.program).run(...client.digest(`${repository}:absent`));
      expect(code).not.toBe(0);
      await expect.poll(() => scene.entrepot.requests.at(-1)).toMatchObject({ status: 404 });
    });
  });
}
