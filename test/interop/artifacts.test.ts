import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { type ContainerTool, ContainerTools } from '../support/container-tools.ts';
import { DockerRegistryProcess } from '../support/docker-registry-process.ts';
import { EntrepotProcess } from '../support/entrepot-process.ts';
import { buildImage } from '../support/images.ts';
import { describeWith } from '../support/programs.ts';
import { ReferrersRegistryProcess } from '../support/referrers-registry-process.ts';
import { RegistryScene } from '../support/registry-scene.ts';

const REGISTRY = 'ghcr.example';
const SBOM = 'application/vnd.example.sbom';
const SIGNATURE = 'application/vnd.example.signature';

/** Anything that OCI clients can push to and that can go away. */
interface ArtifactRegistry {
  readonly url: string;
  stop(): Promise<void>;
}

interface Artifacts {
  readonly upstream: ArtifactRegistry;
  readonly entrepot: EntrepotProcess;
  readonly oras: ContainerTool;
  readonly tools: ContainerTools;
  /** `team/app` as it is named upstream and here. */
  readonly there: string;
  readonly here: string;
}

/** An artifact `team/app:v1` with an SBOM and a signature, which is signed itself. */
async function settle(upstream: ArtifactRegistry): Promise<Artifacts> {
  const upstreams = { [REGISTRY]: { url: upstream.url } };
  const entrepot = await EntrepotProcess.start({ config: { upstreams, cache: { tagTtl: '0s' } } });
  const tools = await ContainerTools.open();
  const oras = tools.tool('oras');
  const there = `${new URL(upstream.url).host}/team/app`;
  for (const name of ['app.bin', 'sbom.json', 'app.sig', 'sbom.sig']) {
    await writeFile(join(tools.directory, name), `the content of ${name}`);
  }
  await oras.succeed('push', '--plain-http', `${there}:v1`, 'app.bin:application/octet-stream');
  await attach(oras, `${there}:v1`, SBOM, 'sbom.json');
  await attach(oras, `${there}:v1`, SIGNATURE, 'app.sig');
  const [sbom] = await discover(oras, `${there}:v1`, `--artifact-type=${SBOM}`);
  await attach(oras, `${there}@${sbom?.digest}`, SIGNATURE, 'sbom.sig');
  return { upstream, entrepot, oras, tools, there, here: `${entrepot.host}/${REGISTRY}/team/app` };
}

async function attach(oras: ContainerTool, subject: string, artifactType: string, file: string) {
  const content = `${file}:application/octet-stream`;
  await oras.succeed('attach', '--plain-http', `--artifact-type=${artifactType}`, subject, content);
}

interface Referrer {
  readonly digest: string;
  readonly artifactType: string;
  readonly referrers?: readonly Referrer[];
}

/** What refers to an artifact, and to that, and so on: without the references, which name the host asked. */
async function discover(
  oras: ContainerTool,
  reference: string,
  ...options: readonly string[]
): Promise<readonly Referrer[]> {
  const text = await oras.succeed('discover', '--plain-http', '--format=json', ...options, reference);
  return (JSON.parse(text) as { readonly referrers?: readonly Referrer[] }).referrers?.map(plain) ?? [];
}

function plain({ digest, artifactType, referrers = [] }: Referrer): Referrer {
  return { digest, artifactType, ...(referrers.length > 0 && { referrers: sorted(referrers) }) };
}

function sorted(referrers: readonly Referrer[]): readonly Referrer[] {
  return referrers.map(plain).toSorted((a, b) => a.digest.localeCompare(b.digest));
}

/** Copies the artifact with all that refers to it into an OCI layout. */
async function expectCopy(
  { oras, tools, here }: Pick<Artifacts, 'oras' | 'tools' | 'here'>,
  layout: string,
  expected: readonly Referrer[],
): Promise<void> {
  const target = `${tools.directory}/${layout}:v1`;
  await oras.succeed('copy', '--recursive', '--from-plain-http', '--to-oci-layout', `${here}:v1`, target);
  const found = await oras.succeed('discover', '--oci-layout', '--format=json', target);
  const { referrers } = JSON.parse(found) as { readonly referrers: readonly Referrer[] };
  expect(sorted(referrers)).toEqual(expected);
}

describeWith(
  { programs: ['oras', 'regctl', 'docker-registry', 'registry-with-referrers'] },
  'artifacts with referrers',
  () => {
    test('are found and copied as they are upstream, also when it is away', async () => {
      const { upstream, oras, tools, there, here } = await settle(await ReferrersRegistryProcess.start());
      const expected = sorted(await discover(oras, `${there}:v1`));
      expect(expected.map(({ artifactType }) => artifactType).toSorted()).toEqual([SBOM, SIGNATURE]);
      expect(expected.filter(({ referrers }) => referrers !== undefined)).toHaveLength(1);
      expect(sorted(await discover(oras, `${here}:v1`))).toEqual(expected);
      const signatures = await discover(oras, `${here}:v1`, `--artifact-type=${SIGNATURE}`);
      expect(signatures.map(({ artifactType }) => artifactType)).toEqual([SIGNATURE]);

      await expectCopy({ oras, tools, here }, 'cold', expected);
      await upstream.stop();
      expect(sorted(await discover(oras, `${here}:v1`))).toEqual(expected);
      await expectCopy({ oras, tools, here }, 'alone', expected);
    });

    test('are found by the fall-back tag where the upstream lacks the API, also when it is away', async () => {
      const { upstream, oras, tools, there, here } = await settle(await DockerRegistryProcess.start());
      const expected = sorted(await discover(oras, `${there}:v1`));
      expect(expected.filter(({ referrers }) => referrers !== undefined)).toHaveLength(1);
      expect(sorted(await discover(oras, `${here}:v1`))).toEqual(expected);
      await expectCopy({ oras, tools, here }, 'cold', expected);
      await upstream.stop();
      // What refers to the referrers cannot be told: that they have no fall-back tag was never held.
      expect(sorted(await discover(oras, `${here}:v1`, '--depth=1'))).toEqual(
        expected.map(({ digest, artifactType }) => ({ digest, artifactType })),
      );
    });

    test('are asked of the API, and found by regctl too', async () => {
      const registry = await ReferrersRegistryProcess.start();
      const { entrepot, oras, tools, here } = await settle(registry);
      const before = registry.referrersRequests.length;
      const expected = await discover(oras, `${here}:v1`, '--depth=1');
      expect(registry.referrersRequests.length).toBeGreaterThan(before);
      const regctl = tools.tool('regctl');
      await regctl.succeed('registry', 'set', '--tls=disabled', entrepot.host);
      const listed = await regctl.succeed('artifact', 'list', '--format={{json .}}', `${here}:v1`);
      const { descriptors } = JSON.parse(listed) as { readonly descriptors: readonly Referrer[] };
      expect(sorted(descriptors)).toEqual(sorted(expected));
    });

    test('that come later are found at once', async () => {
      const { oras, there, here } = await settle(await ReferrersRegistryProcess.start());
      expect(await discover(oras, `${here}:v1`, '--depth=1')).toHaveLength(2);
      await attach(oras, `${there}:v1`, 'application/vnd.example.late', 'app.sig');
      expect(await discover(oras, `${here}:v1`, '--depth=1')).toHaveLength(3);
    });
  },
);

describeWith({ programs: ['crane', 'docker-registry'] }, 'a cosign signature', () => {
  test('is a clean 404 while it is absent, is found as soon as it is there, and stays when the upstream goes', async () => {
    const image = buildImage({ platforms: ['linux/amd64', 'linux/arm64'] });
    const scene = await RegistryScene.start({ [REGISTRY]: { 'team/app:v1': image } });
    const upstream = scene.upstream(REGISTRY);
    const crane = (await ContainerTools.open()).tool('crane');
    const tag = `${image.root.digest.replace(':', '-')}.sig`;
    const reference = `${scene.entrepot.host}/${REGISTRY}/team/app:${tag}`;
    const absent = await crane.run('manifest', reference);
    expect(absent.code).not.toBe(0);
    expect(absent.stderr).toContain('MANIFEST_UNKNOWN');

    const signature = buildImage({ seed: 9, layerSizes: [200] });
    await upstream.push('team/app', tag, signature);
    expect(await crane.succeed('manifest', reference)).toBe(signature.root.bytes.toString());
    const [layer] = signature.manifests[0]?.layers ?? [];
    const payload = `${scene.entrepot.host}/${REGISTRY}/team/app@${layer?.digest}`;
    await crane.succeed('blob', payload);
    await upstream.stop();
    expect(await crane.succeed('manifest', reference)).toBe(signature.root.bytes.toString());
    expect(await crane.succeed('digest', reference)).toContain(signature.root.digest);
    await crane.succeed('blob', payload);
    await expect.poll(() => scene.entrepot.requests.at(-1)).toMatchObject({ status: 200, outcome: 'hit' });
  });
});

describeWith({ programs: ['helm', 'docker-registry'] }, 'helm', () => {
  test('pulls a chart by version, by range and by digest, cold, two at once, warm and with the upstream away', async () => {
    const scene = await RegistryScene.start({ [REGISTRY]: {} }, { cache: { tagTtl: '0s' } });
    const upstream = scene.upstream(REGISTRY);
    const tools = await ContainerTools.open();
    const helm = tools.tool('helm');
    await helm.succeed('create', 'sample');
    const charts = new Map<string, string>();
    for (const version of ['1.0.0', '1.2.0', '1.3.0+build.1', '2.0.0']) {
      await helm.succeed('package', 'sample', `--version=${version}`);
      const file = `sample-${version}.tgz`;
      const pushed = await helm.run(
        'push',
        '--plain-http',
        file,
        `oci://${new URL(upstream.url).host}/charts`,
      );
      expect(pushed.code, pushed.stderr).toBe(0);
      const digest = /sha256:[0-9a-f]{64}/.exec(`${pushed.stdout}${pushed.stderr}`)?.[0];
      charts.set(version, digest ?? '');
    }
    upstream.forget();
    const chart = `oci://${scene.entrepot.host}/${REGISTRY}/charts/sample`;
    /** Pulls into a directory of its own: the chart is the one that was packaged. */
    const pull = async (into: string, reference: string, version: string, ...options: readonly string[]) => {
      const place = join(tools.directory, into);
      await mkdir(place);
      const args = ['--plain-http', `--destination=${place}`, reference, ...options];
      const { code, stdout, stderr } = await helm.run('pull', ...args);
      expect(code, stderr).toBe(0);
      expect(`${stdout}${stderr}`).toContain(`Digest: ${charts.get(version)}`);
      const packaged = await readFile(join(tools.directory, `sample-${version}.tgz`));
      // A digest in the reference becomes a part of the file's name.
      const [name = ''] = await readdir(place);
      expect((await readFile(join(place, name))).equals(packaged)).toBe(true);
    };
    const all = async (round: string) => {
      await pull(`${round}-exact`, chart, '1.2.0', '--version=1.2.0');
      await pull(`${round}-range`, chart, '1.3.0+build.1', '--version=^1.0.0');
      await pull(`${round}-latest`, chart, '2.0.0');
      await pull(`${round}-digest`, `${chart}@${charts.get('2.0.0')}`, '2.0.0');
    };
    await all('cold');
    const two = ['first', 'second'];
    await Promise.all(two.map((into) => pull(into, chart, '1.0.0', '--version=1.0.0')));
    const blobs = upstream.blobGets;
    expect([...blobs.values()]).toEqual(Array(blobs.size).fill(1));
    upstream.forget();
    await all('warm');
    expect(upstream.blobGets.size).toBe(0);
    await upstream.stop();
    await all('alone');
    expect(await helm.succeed('show', 'chart', '--plain-http', chart)).toContain('version: 2.0.0');
  });
});
