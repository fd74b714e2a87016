import { describe, expect, it } from 'vitest';
import { OCI_MANIFEST } from '../../src/oci/media-type.ts';
import { parseRepositoryName, type RepositoryName } from '../../src/oci/reference.ts';
import { closeAfterTest } from '../support/close-after-test.ts';
import { FakeRegistry } from '../support/fake-registry.ts';
import {
  credentials,
  failure,
  latest,
  manifestText,
  never,
  once,
  upstreamAt,
} from './upstream-under-test.ts';

const names = Array.from({ length: 100 }, (_, count) => parseRepositoryName(`team/app${count}`));

async function registryWith(
  mode: 'basic' | 'bearer',
  repositories: readonly RepositoryName[],
): Promise<FakeRegistry> {
  const registry = closeAfterTest(await FakeRegistry.start({ auth: { mode, credentials: [credentials] } }));
  for (const name of repositories) registry.addManifest(name, manifestText(), OCI_MANIFEST, ['latest']);
  return registry;
}

describe.each(['basic', 'bearer'] as const)('credentials that were never accepted (%s)', (mode) => {
  it('are tried three times and no more, however many ask at once', async () => {
    const registry = await registryWith(mode, names);
    const upstream = upstreamAt(registry.url, { auth: { username: 'robot', password: 'wrong' } });
    const errors = await Promise.all(
      names.map(async (name) => failure(upstream.getManifest(name, latest, once, never()))),
    );
    expect(new Set(errors.map(({ reason }) => reason))).toEqual(new Set(['denied']));
    const tries = registry.requests.filter(({ headers }) => headers.authorization !== undefined);
    expect(tries.length).toBe(3);
  });

  it('hold nobody back once they were: good ones are used side by side', async () => {
    const registry = await registryWith(mode, names);
    const upstream = upstreamAt(registry.url, { auth: credentials });
    await Promise.all(names.map(async (name) => upstream.getManifest(name, latest, once, never())));
    expect(registry.requests.filter(({ status }) => status === 401).length).toBeLessThanOrEqual(100);
  });
});
