import { describe, expect, it } from 'vitest';
import { closeAfterTest } from './close-after-test.ts';
import { FakeRegistry } from './fake-registry.ts';
import type { FakeAuth } from './fake-registry-auth.ts';
import { get } from './http-get.ts';

const BASIC = `Basic ${Buffer.from('me:secret').toString('base64')}`;
const CREDENTIALS = [{ username: 'me', password: 'secret', repositories: /^private\// }];

async function start(auth: FakeAuth, now?: () => number): Promise<FakeRegistry> {
  const registry = closeAfterTest(await FakeRegistry.start({ auth, ...(now && { now }) }));
  for (const repository of ['private/app', 'public/app', 'other/app']) {
    registry.addManifest(repository, '{}', 'application/vnd.oci.image.manifest.v1+json', ['v1']);
  }
  return registry;
}

async function status(registry: FakeRegistry, repository: string, authorization?: string): Promise<number> {
  const headers = authorization === undefined ? {} : { authorization };
  return (await get(`${registry.url}/v2/${repository}/manifests/v1`, { headers })).status;
}

async function token(registry: FakeRegistry, query: string, authorization?: string): Promise<string> {
  const headers = authorization === undefined ? {} : { authorization };
  const { body } = await get(`${registry.url}/token?${query}`, { headers });
  const reply = JSON.parse(body.toString()) as { token?: string; access_token?: string };
  return `Bearer ${reply.token ?? reply.access_token ?? ''}`;
}

async function challenges(registry: FakeRegistry, path = '/v2/public/app/manifests/v1'): Promise<string[]> {
  const { rawHeaders } = await get(`${registry.url}${path}`);
  return rawHeaders.filter((_, at) => rawHeaders[at - 1]?.toLowerCase() === 'www-authenticate');
}

describe('the access control of a fake registry', () => {
  it('takes Basic credentials for the repositories they are for', async () => {
    const registry = await start({ mode: 'basic', credentials: CREDENTIALS });
    expect(await status(registry, 'private/app')).toBe(401);
    expect(await status(registry, 'private/app', 'Basic eDp5')).toBe(401);
    expect(await status(registry, 'private/app', BASIC)).toBe(200);
    expect(await status(registry, 'other/app', BASIC)).toBe(403);
    expect(await challenges(registry)).toEqual(['Basic realm="fake"']);
  });

  it('gives a token for one repository, until it expires or is revoked', async () => {
    let nowMs = 0;
    const registry = await start({ mode: 'bearer', tokenTtlMs: 1000 }, () => nowMs);
    const bearer = await token(registry, 'service=fake&scope=repository:public/app:pull');
    expect(await status(registry, 'public/app', bearer)).toBe(200);
    expect(await status(registry, 'other/app', bearer)).toBe(401);
    nowMs = 1000;
    expect(await status(registry, 'public/app', bearer)).toBe(401);
    const another = await token(registry, 'scope=repository:public/app:pull');
    registry.auth.revoke();
    expect(await status(registry, 'public/app', another)).toBe(401);
    expect([registry.tokenRequests, registry.auth.issued]).toEqual([2, 2]);
  });

  it.each(['reduced', 'denied'] as const)(
    'does not let the anonymous see private content (%s)',
    async (refusal) => {
      const auth = { mode: 'bearer', credentials: CREDENTIALS, anonymous: /^public\//, refusal } as const;
      const registry = await start(auth);
      const scope = 'scope=repository:private/app:pull';
      const { status: answered } = await get(`${registry.url}/token?${scope}`);
      expect(answered).toBe(refusal === 'denied' ? 403 : 200);
      if (refusal === 'reduced') {
        expect(await status(registry, 'private/app', await token(registry, scope))).toBe(401);
      }
      expect(await status(registry, 'private/app', await token(registry, scope, BASIC))).toBe(200);
      expect(
        await status(registry, 'public/app', await token(registry, 'scope=repository:public/app:pull')),
      ).toBe(200);
      const wrong = await get(`${registry.url}/token?${scope}`, { headers: { authorization: 'Basic eDp5' } });
      expect(wrong.status).toBe(401);
    },
  );

  it('words its challenge as it is told', async () => {
    const registry = await start({ mode: 'bearer' });
    const own = `realm="${registry.url}/token"`;
    const scope = 'scope="repository:public/app:pull"';
    expect(await challenges(registry)).toEqual([`Bearer ${own},service="fake",${scope}`]);
    expect(await challenges(registry, '/v2/')).toEqual([`Bearer ${own},service="fake"`]);
    registry.configure({ auth: { mode: 'bearer', service: undefined, scope: undefined, scheme: 'BEARER' } });
    expect(await challenges(registry)).toEqual([`BEARER ${own}`]);
    registry.configure({
      auth: {
        mode: 'bearer',
        realm: 'https://evil.example/t',
        service: 'x',
        scope: 'y',
        challengesBefore: ['Negotiate'],
      },
    });
    const foreign = 'Bearer realm="https://evil.example/t",service="x",scope="y"';
    expect(await challenges(registry)).toEqual(['Negotiate', foreign]);
    registry.configure({ auth: { mode: 'bearer', challengesBefore: ['Basic realm="a"'], joined: true } });
    expect(await challenges(registry)).toEqual([`Basic realm="a", Bearer ${own},service="fake",${scope}`]);
  });

  it('refuses a token request that lost the query of the realm', async () => {
    const registry = await start({ mode: 'bearer', realmQuery: 'tenant=a' });
    expect((await challenges(registry))[0]).toContain('/token?tenant=a"');
    expect((await get(`${registry.url}/token`)).status).toBe(400);
    expect((await get(`${registry.url}/token?tenant=a`)).status).toBe(200);
  });

  it.each([
    [{}, ['token', 'access_token', 'expires_in']],
    [{ replyAs: 'token', expiresIn: 'absent' }, ['token']],
    [{ replyAs: 'access_token' }, ['access_token', 'expires_in']],
  ] as const)('replies with the fields of %o', async (options, fields) => {
    const registry = await start({ mode: 'bearer', ...options });
    const { body } = await get(`${registry.url}/token`);
    expect(Object.keys(JSON.parse(body.toString()) as object)).toEqual(fields);
  });

  it('takes a POST only when told to', async () => {
    const registry = await start({ mode: 'bearer', credentials: CREDENTIALS });
    const post = async (): Promise<Response> =>
      fetch(`${registry.url}/token`, {
        method: 'POST',
        body: new URLSearchParams({
          username: 'me',
          password: 'secret',
          scope: 'repository:private/app:pull',
        }),
      });
    expect((await post()).status).toBe(405);
    registry.configure({ auth: { mode: 'bearer', credentials: CREDENTIALS, post: true } });
    const { token: text } = (await (await post()).json()) as { token: string };
    expect(await status(registry, 'private/app', `Bearer ${text}`)).toBe(200);
  });
});
