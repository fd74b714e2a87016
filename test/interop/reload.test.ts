import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { closeAfterTest } from '../support/close-after-test.ts';
import { DockerDaemon } from '../support/docker-daemon.ts';
import { EntrepotProcess } from '../support/entrepot-process.ts';
import { FakeRegistry } from '../support/fake-registry.ts';
import { Gate } from '../support/gate.ts';
import { buildImage, pushTo } from '../support/images.ts';
import { describeWith } from '../support/programs.ts';
import { tempDir } from '../support/temp-dir.ts';

const BEFORE = { username: 'reader', password: 'canary-before' };
const AFTER = { username: 'reader', password: 'canary-after' };

describeWith({ programs: ['dockerd'], root: true }, 'a Docker daemon', () => {
  test('goes on pulling while the credentials of the upstream are others, and upstreams come and go', async () => {
    const image = buildImage({ layerSizes: [3_000_000, 2000, 2_000_000, 3000] });
    const basic = (credentials: typeof BEFORE) => ({
      auth: { mode: 'basic', credentials: [credentials] } as const,
    });
    const registry = closeAfterTest(await FakeRegistry.start(basic(BEFORE)));
    pushTo(registry, { repository: 'library/sample', tag: 'v1', image });
    const [first] = image.manifests[0]?.layers ?? [];
    const gate = new Gate();
    registry.faults.add({
      match: { method: 'GET', path: new RegExp(first?.digest ?? '') },
      action: { stallAfter: { bytes: 1_000_000, gate } },
    });
    const workingDir = await tempDir();
    const configure = async (auth: typeof BEFORE, others: Readonly<Record<string, object>>) => {
      const own = { listen: '127.0.0.1:0', admin: { listen: '127.0.0.1:0' }, dataDir: './data' };
      const upstreams = { 'docker.io': { url: registry.url, auth }, ...others };
      await writeFile(join(workingDir, 'config.yaml'), JSON.stringify({ ...own, upstreams }));
    };
    await configure(BEFORE, { 'quay.io': {} });
    const entrepot = await EntrepotProcess.spawn(['serve', '--config', 'config.yaml'], { workingDir });
    const daemon = await DockerDaemon.start({
      'registry-mirrors': [entrepot.url],
      'max-concurrent-downloads': 1,
    });

    const pulling = daemon.pull('sample:v1');
    await gate.arrived();
    // It asks for the image's config beside its layers: with the password that is right.
    await entrepot.logged('request', ({ reference }) => reference === image.manifests[0]?.config.digest);
    // From here on the old password is good for nothing.
    registry.configure(basic(AFTER));
    await configure(AFTER, { 'ghcr.io': {} });
    entrepot.signal('SIGHUP');
    const { changed } = await entrepot.logged('the configuration was read again: what changed holds');
    expect(changed).toEqual(
      expect.arrayContaining(['upstreams.docker.io.auth', 'upstreams.quay.io', 'upstreams.ghcr.io']),
    );
    gate.open();
    await pulling;
    const { Id, RootFS } = await daemon.image('sample:v1');
    expect(Id).toBe(image.manifests[0]?.config.digest);
    expect(RootFS.Layers).toHaveLength(4);
    const refused = entrepot.requests.filter(({ status }) => Number(status) >= 400);
    expect(refused).toEqual([]);
    expect(entrepot.output).not.toContain('canary');
  });
});
