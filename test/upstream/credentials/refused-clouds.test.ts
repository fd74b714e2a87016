import { generateKeyPairSync } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { OCI_MANIFEST } from '../../../src/oci/media-type.ts';
import { closeAfterTest } from '../../support/close-after-test.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { FakeHost } from '../../support/fake-host.ts';
import { FakeRegistry } from '../../support/fake-registry.ts';
import { errorReply, jsonReply } from '../../support/reply.ts';
import { tempDir } from '../../support/temp-dir.ts';
import {
  failure,
  latest,
  manifestText,
  never,
  once,
  repository,
  upstreamAt,
} from '../upstream-under-test.ts';
import { setVariable, sourceOf } from './credentials-under-test.ts';

/** A sign-in service of Google's that gives a new token each time, and the key for it. */
async function google(): Promise<{ api: FakeHost; keyFile: string; key: string }> {
  let count = 0;
  const api = closeAfterTest(
    await FakeHost.start({}, () =>
      jsonReply(200, { access_token: `ya29.${(count += 1)}`, expires_in: 3600, token_type: 'Bearer' }),
    ),
  );
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const key = JSON.stringify({
    type: 'service_account',
    client_email: 'puller@project.example',
    private_key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    token_uri: `${api.url}/token`,
  });
  const keyFile = join(await tempDir(), 'key.json');
  await writeFile(keyFile, key, { mode: 0o600 });
  return { api, keyFile, key };
}

describe('refused credentials of a cloud', () => {
  it.each(['basic', 'bearer'] as const)(
    'are neither made nor tried again with each pull (%s)',
    async (mode) => {
      const clock = new FakeClock(Date.now());
      const { api, keyFile } = await google();
      const registry = closeAfterTest(
        await FakeRegistry.start({ auth: { mode, credentials: [{ username: 'u', password: 'p' }] } }),
      );
      registry.addManifest(repository, manifestText(), OCI_MANIFEST, ['latest']);
      const upstream = upstreamAt(registry.url, { auth: { google: { keyFile } } }, { clock });
      const pulls = async (count: number): Promise<void> => {
        for (let at = 0; at < count; at += 1) {
          expect((await failure(upstream.getManifest(repository, latest, once, never()))).reason).toBe(
            'denied',
          );
          await clock.advance(1_001);
        }
      };
      const tried = () =>
        registry.count({ where: ({ headers }) => headers.authorization?.startsWith('Basic') === true });
      await pulls(30);
      expect(api.requests).toHaveLength(1);
      expect(tried()).toBeLessThanOrEqual(3);
      await pulls(60);
      expect(api.requests.length).toBeLessThanOrEqual(2);
    },
  );

  it('are made anew at most once a minute, and at once when they are older than that', async () => {
    const clock = new FakeClock(Date.now());
    const { keyFile } = await google();
    const source = sourceOf({ google: { keyFile } }, { clock });
    const given = async (): Promise<unknown> => {
      const credential = await source.get();
      if (credential !== undefined) source.refused(credential);
      return credential;
    };
    expect(await given()).toMatchObject({ password: 'ya29.1' });
    await clock.advance(59_000);
    expect(await given()).toMatchObject({ password: 'ya29.1' });
    await clock.advance(2_000);
    expect(await given()).toMatchObject({ password: 'ya29.1' });
    expect(await given()).toMatchObject({ password: 'ya29.2' });
    await clock.advance(59_000);
    await given();
    expect(await given()).toMatchObject({ password: 'ya29.2' });
  });

  it('are not made anew for a key file that was written again as it was', async () => {
    const clock = new FakeClock(Date.now());
    const { api, keyFile, key } = await google();
    const source = sourceOf({ google: { keyFile } }, { clock });
    await source.get();
    await writeFile(keyFile, key);
    await clock.advance(1_001);
    await source.get();
    expect(api.requests).toHaveLength(1);
  });
});

/** AWS’s API, which gives `made-1`, `made-2` and so on. */
async function awsAt(isPublic: boolean, clock: FakeClock): Promise<FakeHost> {
  let count = 0;
  setVariable('AWS_ACCESS_KEY_ID', 'AKIDEXAMPLE');
  setVariable('AWS_SECRET_ACCESS_KEY', 'canary');
  return closeAfterTest(
    await FakeHost.start({}, () => {
      const given = {
        authorizationToken: Buffer.from(`AWS:made-${(count += 1)}`).toString('base64'),
        expiresAt: clock.now() / 1000 + 43_200,
      };
      return jsonReply(200, { authorizationData: isPublic ? given : [given] });
    }),
  );
}

describe('a password of ECR, or a token of ECR Public, that was revoked', () => {
  it.each([
    ['ECR', false, 403],
    ['ECR Public', true, 400],
  ] as const)(
    'is replaced within the request, at most once a minute: %s',
    async (_what, isPublic, status) => {
      const clock = new FakeClock();
      const api = await awsAt(isPublic, clock);
      let good = '';
      const registry = closeAfterTest(await FakeRegistry.start());
      registry.addManifest(repository, manifestText(), OCI_MANIFEST, ['latest']);
      const scheme = isPublic ? `Bearer realm="${registry.url}/token"` : 'Basic realm="ecr"';
      registry.intercept((asked, plain) => {
        const { authorization } = asked.headers;
        if (authorization === undefined) {
          const challenge = { 'www-authenticate': scheme };
          return errorReply(401, 'UNAUTHORIZED', challenge);
        }
        const [, token] = authorization.split(' ');
        const isGood = token === Buffer.from(`AWS:${good}`).toString('base64');
        return isGood ? plain(asked) : errorReply(status, 'DENIED');
      });
      const ecr = { public: isPublic, region: 'us-east-1', endpoint: api.url };
      const upstream = upstreamAt(registry.url, { auth: { ecr } }, { clock });
      const pull = async (): Promise<unknown> => upstream.getManifest(repository, latest, once, never());
      good = 'made-1';
      await pull();
      await clock.advance(61_000);
      good = 'made-2';
      await pull();
      expect(api.requests).toHaveLength(2);
      good = 'none';
      registry.forget();
      for (let at = 0; at < 8; at += 1) expect((await failure(pull())).status).toBe(status);
      expect(api.requests).toHaveLength(2);
      good = 'made-2';
      await pull();
    },
  );
});
