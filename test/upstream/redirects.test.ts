import { describe, expect, it } from 'vitest';
import { OCI_MANIFEST } from '../../src/oci/media-type.ts';
import { closeAfterTest } from '../support/close-after-test.ts';
import { FakeHost } from '../support/fake-host.ts';
import { FakeRegistry } from '../support/fake-registry.ts';
import { textReply } from '../support/reply.ts';
import {
  accept,
  credentials,
  failure,
  latest,
  manifestText,
  never,
  once,
  RecordingObserver,
  repository,
  upstreamAt,
} from './upstream-under-test.ts';

const recipe = { size: 50_000, seed: 4 };

/** From `latest` over `t1`, `t2`… `count` times. */
function hops(count: number): (request: { readonly path: string }) => string | undefined {
  return ({ path }) => {
    const at = path.endsWith('latest') ? 0 : Number(path.slice(-1));
    return at < count ? `/v2/team/app/manifests/t${at + 1}` : undefined;
  };
}

describe('redirects', () => {
  it.each([301, 302, 303, 307, 308])(
    'follows a %i of a blob to storage, without credentials',
    async (redirectStatus) => {
      const storage = closeAfterTest(await FakeRegistry.start({ hostname: '127.0.0.2' }));
      const digest = storage.addBlob(repository, recipe);
      const registry = closeAfterTest(
        await FakeRegistry.start({
          content: storage.content,
          auth: { mode: 'basic', credentials: [credentials] },
          redirectStatus,
          redirect: ({ path }) =>
            path.includes('/blobs/') ? `${storage.cdnUrl(digest)}?signature=s3cret` : undefined,
        }),
      );
      const config = { auth: credentials, trustedHosts: [storage.host] };
      const range = { start: 10, end: 20, etag: '"stored"' };
      const transfer = await upstreamAt(registry.url, config).getBlob(repository, digest, range, never());
      expect(transfer).toMatchObject({ start: 10, sizeBytes: recipe.size });
      await transfer.body.toArray();
      expect(storage.requests).toHaveLength(1);
      const { headers, target } = storage.requests[0] ?? {};
      expect(target).toContain('signature=s3cret');
      expect(Object.keys(headers ?? {}).sort()).toEqual([
        'accept-encoding',
        'connection',
        'host',
        'if-range',
        'range',
        'user-agent',
      ]);
    },
  );

  it('asks anew each time: a redirect is never remembered', async () => {
    const storage = closeAfterTest(await FakeRegistry.start({ hostname: '127.0.0.2' }));
    const digest = storage.addBlob(repository, recipe);
    const registry = closeAfterTest(
      await FakeRegistry.start({
        content: storage.content,
        redirectStatus: 301,
        redirect: () => storage.cdnUrl(digest),
      }),
    );
    const upstream = upstreamAt(registry.url, { trustedHosts: ['127.0.0.2'] });
    for (let count = 0; count < 2; count += 1) {
      const { body } = await upstream.getBlob(repository, digest, { start: 0 }, never());
      await body.toArray();
    }
    expect(registry.requests).toHaveLength(2);
  });

  it('follows a relative Location, with the credentials of the same origin', async () => {
    const registry = closeAfterTest(
      await FakeRegistry.start({
        auth: { mode: 'basic', credentials: [credentials] },
        redirect: ({ path }) => (path.endsWith('/latest') ? './stable' : undefined),
      }),
    );
    registry.addManifest(repository, manifestText(), OCI_MANIFEST, ['latest', 'stable']);
    await upstreamAt(registry.url, { auth: credentials }).getManifest(repository, latest, once, never());
    expect(registry.requests.at(-1)).toMatchObject({ path: '/v2/team/app/manifests/stable', status: 200 });
    expect(registry.requests.at(-1)?.headers.authorization).toMatch(/^Basic /);
  });

  it('never gives credentials back once a chain has left the upstream', async () => {
    let back = '';
    const away = closeAfterTest(
      await FakeHost.start({ hostname: '127.0.0.2' }, () => textReply(307, '', { location: back })),
    );
    const registry = closeAfterTest(
      await FakeRegistry.start({
        auth: { mode: 'basic', credentials: [credentials] },
        redirect: ({ path }) => (path.endsWith('/latest') ? `${away.url}/b` : undefined),
      }),
    );
    back = `${registry.url}/v2/team/secret/manifests/latest2`;
    registry.addManifest(repository, manifestText(), OCI_MANIFEST, ['latest']);
    const config = { auth: credentials, trustedHosts: [away.host] };
    const upstream = upstreamAt(registry.url, config);
    await failure(upstream.getManifest(repository, latest, once, never()));
    expect(away.requests.length).toBeGreaterThan(0);
    expect(away.requests.every(({ headers }) => headers.authorization === undefined)).toBe(true);
    const returned = registry.requests.filter(({ path }) => path.endsWith('latest2'));
    expect(returned.length).toBeGreaterThan(0);
    expect(returned[0]?.headers.authorization).toBeUndefined();
  });

  it('gives no credentials to another port or a subdomain of the same host', async () => {
    const port = closeAfterTest(await FakeHost.start());
    const registry = closeAfterTest(
      await FakeRegistry.start({
        auth: { mode: 'basic', credentials: [credentials] },
        redirect: () => `${port.url}/x`,
      }),
    );
    registry.addManifest(repository, manifestText(), OCI_MANIFEST, ['latest']);
    const config = { auth: credentials, trustedHosts: [port.host] };
    await failure(upstreamAt(registry.url, config).getManifest(repository, latest, once, never()));
    expect(port.requests.length).toBe(1);
    expect(port.requests[0]?.headers.authorization).toBeUndefined();
  });

  it('follows five and refuses the sixth', async () => {
    const registry = closeAfterTest(await FakeRegistry.start());
    registry.addManifest(repository, manifestText(), OCI_MANIFEST, ['latest', 't5']);
    registry.configure({ redirect: hops(5) });
    await upstreamAt(registry.url).getManifest(repository, latest, once, never());
    registry.configure({ redirect: hops(6) });
    const observer = new RecordingObserver();
    const error = await failure(
      upstreamAt(registry.url, {}, { observer }).getManifest(repository, latest, accept, never()),
    );
    expect(error.reason).toBe('refused');
    expect(observer.named('refused')).toHaveLength(1);
  });

  it.each([
    ['a loop', '/v2/team/app/manifests/latest', 'refused'],
    ['a user name', 'http://user:secret@127.0.0.1:1/', 'refused'],
    ['a file', 'file:///etc/passwd', 'refused'],
    ['a script', 'javascript:alert(1)', 'refused'],
    ['a private address', 'http://127.0.0.2:1/secret?token=secret', 'refused'],
    ['the metadata service', 'http://169.254.169.254/latest/meta-data/secret', 'refused'],
    ['no place', '', 'protocol'],
    ['nonsense', 'http://[', 'protocol'],
    ['more than any URL', `/${'x'.repeat(9000)}`, 'protocol'],
  ])('refuses one to %s', async (_what, location, reason) => {
    const registry = closeAfterTest(await FakeRegistry.start({ redirect: () => location }));
    registry.addManifest(repository, manifestText(), OCI_MANIFEST, ['latest']);
    const error = await failure(upstreamAt(registry.url).getManifest(repository, latest, accept, never()));
    expect(error.reason).toBe(reason);
    expect(error.message + String(error.cause)).not.toContain('secret');
    expect(registry.requests).toHaveLength(1);
  });

  it('refuses two different Locations', async () => {
    const registry = closeAfterTest(await FakeRegistry.start());
    registry.faults.add({ action: { respond: { status: 307, headers: { location: ['/a', '/b'] } } } });
    expect(
      (await failure(upstreamAt(registry.url).getManifest(repository, latest, once, never()))).reason,
    ).toBe('protocol');
  });

  it('takes no challenge from the host that it was sent to', async () => {
    const challenge = { 'www-authenticate': 'Basic realm="give me"' };
    const away = closeAfterTest(
      await FakeHost.start({ hostname: '127.0.0.2' }, () => textReply(401, '', challenge)),
    );
    const registry = closeAfterTest(await FakeRegistry.start({ redirect: () => `${away.url}/b` }));
    const digest = registry.addBlob(repository, recipe);
    const upstream = upstreamAt(registry.url, { auth: credentials, trustedHosts: [away.host] });
    const error = await failure(upstream.getBlob(repository, digest, { start: 0 }, never()));
    expect(error).toMatchObject({ reason: 'unavailable', status: 401 });
    expect(away.requests).toHaveLength(1);
    expect(away.requests[0]?.headers.authorization).toBeUndefined();
  });
});
