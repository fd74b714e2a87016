import { expect, test } from 'vitest';
import { OCI_MANIFEST } from '../../src/oci/media-type.ts';
import { closeAfterTest } from '../support/close-after-test.ts';
import { EntrepotProcess } from '../support/entrepot-process.ts';
import { FakeRegistry } from '../support/fake-registry.ts';
import { get } from '../support/http-get.ts';

function isThere(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

test('a purge is not done before every worker gives nothing of it any more, and one that does not say so is ended', async () => {
  const registry = closeAfterTest(await FakeRegistry.start());
  const upstreams = { 'docker.io': { url: registry.url, default: true } };
  const entrepot = await EntrepotProcess.start({ config: { upstreams, workers: 2 } });
  const manifest = JSON.stringify({ schemaVersion: 2, mediaType: OCI_MANIFEST, config: {}, layers: [] });
  registry.addManifest('library/app', manifest, OCI_MANIFEST, ['v1']);
  const url = `${entrepot.url}/v2/library/app/manifests/v1`;
  // So many at once that the workers may answer by themselves.
  for (let time = 0; time < 5; time += 1)
    await Promise.all(Array.from({ length: 20 }, async () => get(url, { digestOnly: true })));
  const pids = entrepot.log.filter(({ msg }) => msg === 'a worker serves').map(({ pid }) => Number(pid));
  for (const pid of pids) process.kill(pid, 'SIGSTOP');
  registry.untag('library/app', 'v1');
  const purged = await fetch(`${entrepot.adminUrl}/api/v1/purge`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ upstream: 'docker.io', repository: 'library/app', tag: 'v1' }),
  });
  expect(await purged.text()).toContain('"event":"done"');
  expect(pids.filter(isThere)).toEqual([]);
  expect((await get(url)).status).toBe(404);
});
