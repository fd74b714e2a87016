import { expect, test } from 'vitest';
import { closeAfterTest } from '../support/close-after-test.ts';
import { ContainerdProcess } from '../support/containerd-process.ts';
import { ContainerTools } from '../support/container-tools.ts';
import { DockerDaemon } from '../support/docker-daemon.ts';
import { EntrepotProcess } from '../support/entrepot-process.ts';
import { FakeRegistry } from '../support/fake-registry.ts';
import { buildImage, pushTo } from '../support/images.ts';
import { describeWith } from '../support/programs.ts';

const IMAGE = buildImage({ platforms: ['linux/amd64', 'linux/arm64'], layerSizes: [2000, 1_500_000] });
const OTHER = buildImage({ seed: 2 });
/** Of a whole request: nothing was waited for, which would be ten seconds. */
const AT_ONCE_MS = 2_000;

interface Client {
  /** Pulls, or throws with what the client says. Leaves nothing that would spare the next pull. */
  readonly pull: (tag: string) => Promise<void>;
}

async function settle(): Promise<{ registry: FakeRegistry; entrepot: EntrepotProcess }> {
  const registry = closeAfterTest(await FakeRegistry.start({ auth: { mode: 'bearer' } }));
  pushTo(registry, { repository: 'library/sample', tag: 'v1', image: IMAGE });
  pushTo(registry, { repository: 'library/sample', tag: 'v2', image: OTHER });
  // So that a tag has to be asked about each time, if anybody may be asked.
  const config = { upstreams: { 'docker.io': { url: registry.url } }, cache: { tagTtl: '0s' } };
  return { registry, entrepot: await EntrepotProcess.start({ config }) };
}

async function turn({ adminUrl }: EntrepotProcess, offline: boolean): Promise<void> {
  const answer = await fetch(`${adminUrl}/api/v1/offline`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ offline }),
  });
  expect(answer.status).toBe(200);
}

/** Warm and missing, with the upstream running and stopped; the client must go nowhere else. */
async function rehearse(start: (entrepot: EntrepotProcess) => Promise<Client>): Promise<void> {
  const { registry, entrepot } = await settle();
  const client = await start(entrepot);
  await client.pull('v1');
  await turn(entrepot, true);
  registry.forget();
  const connections = registry.connections;

  await client.pull('v1');
  await expect(client.pull('v2')).rejects.toThrow();
  expect(registry.requests).toEqual([]);
  expect(registry.connections).toBe(connections);
  const refused = await entrepot.logged('request refused', ({ reference }) => reference === 'v2');
  expect(refused).toMatchObject({
    status: 404,
    error: { message: 'not in the cache, and docker.io is not asked: entrepot is offline' },
  });
  const refusals = entrepot.requests.filter(({ msg }) => msg === 'request refused');
  expect(refusals.filter(({ ms }) => Number(ms) > AT_ONCE_MS)).toEqual([]);

  await registry.stop();
  await client.pull('v1');
  await expect(client.pull('v2')).rejects.toThrow();
  expect(await entrepot.metric('entrepot_offline')).toBe(1);
  expect(await entrepot.metric('entrepot_upstream_up')).toBe(1);

  await registry.restart();
  await turn(entrepot, false);
  await client.pull('v2');
}

describeWith({ programs: ['dockerd'], root: true }, 'while entrepot is offline, a Docker daemon', () => {
  test('pulls what is cached, and is told at once of what is not', async () => {
    await rehearse(async (entrepot) => {
      const daemon = await DockerDaemon.start({ 'insecure-registries': [entrepot.host] });
      return {
        pull: async (tag) => {
          // By entrepot's own name: after a mirror's 404 a daemon goes on to Docker Hub.
          const name = `${entrepot.host}/library/sample:${tag}`;
          await daemon.pull(name);
          await daemon.remove(name);
        },
      };
    });
  });
});

describeWith({ programs: ['skopeo'] }, 'while entrepot is offline, skopeo', () => {
  test('copies what is cached, and is told at once of what is not', async () => {
    let copies = 0;
    await rehearse(async (entrepot) => {
      const { skopeo } = await ContainerTools.open();
      return {
        pull: async (tag) => {
          copies += 1;
          const source = `docker://${entrepot.host}/library/sample:${tag}`;
          const options = ['--override-arch=amd64', '--override-os=linux', '--src-tls-verify=false'];
          await skopeo.succeed('copy', ...options, source, `oci:copy-${copies}:${tag}`);
        },
      };
    });
  });
});

describeWith({ programs: ['podman'], root: true }, 'while entrepot is offline, podman', () => {
  test('pulls what is cached under Docker Hub’s name, and is told at once of what is not', async () => {
    await rehearse(async (entrepot) => {
      // In place of Docker Hub, and not before it: there is no way past it.
      const registries = `[[registry]]\nprefix = "docker.io"\nlocation = "${entrepot.host}/docker.io"\ninsecure = true\n`;
      const tools = await ContainerTools.open({ registries });
      const podman = tools.podman();
      return {
        pull: async (tag) => {
          const name = `docker.io/library/sample:${tag}`;
          await podman.succeed('pull', '--quiet', '--arch=amd64', '--os=linux', name);
          await podman.succeed('rmi', '--force', name);
        },
      };
    });
  });
});

describeWith({ programs: ['containerd', 'ctr'], root: true }, 'while entrepot is offline, containerd', () => {
  test('pulls what is cached by ns, and is told at once of what is not', async () => {
    await rehearse(async (entrepot) => {
      const containerd = await ContainerdProcess.start();
      // `server` too, so that it does not go on to Docker Hub.
      const hosts = `server = "${entrepot.url}"\n[host."${entrepot.url}"]\ncapabilities = ["pull", "resolve"]\n`;
      await containerd.hosts('docker.io', hosts);
      return {
        pull: async (tag) => {
          const name = `docker.io/library/sample:${tag}`;
          await containerd.pull(name);
          await containerd.remove(name);
        },
      };
    });
  });
});
