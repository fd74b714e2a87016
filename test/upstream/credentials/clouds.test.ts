import { generateKeyPairSync } from 'node:crypto';
import { chmod, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { beforeEach, describe, expect, it } from 'vitest';
import { closeAfterTest } from '../../support/close-after-test.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { type Answer, FakeHost } from '../../support/fake-host.ts';
import { jsonReply, textReply } from '../../support/reply.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { failure } from '../upstream-under-test.ts';
import { aSecond, setVariable, sourceOf } from './credentials-under-test.ts';

/** The clouds' sign-in services, as far as their own libraries ask them, on real sockets of this machine. */

const CANARY = 'canary-cloud-secret';
const HOUR_MS = 3_600_000;

async function cloud(answer: Answer): Promise<FakeHost> {
  return closeAfterTest(await FakeHost.start({}, answer));
}

const signIn = (): void => {
  setVariable('AWS_ACCESS_KEY_ID', 'AKIDEXAMPLE');
  setVariable('AWS_SECRET_ACCESS_KEY', CANARY);
};

const claims = (form: string): Record<string, unknown> => {
  const [, payload = ''] = (new URLSearchParams(form).get('assertion') ?? '').split('.');
  return JSON.parse(Buffer.from(payload, 'base64url').toString()) as Record<string, unknown>;
};

const signInReply = (token: string) =>
  jsonReply(200, { token_type: 'Bearer', expires_in: 3600, access_token: token });

/** The registry's exchange, and what was posted to it. */
function exchange(status = 200): {
  readonly posted: { url: string; form: Record<string, string> }[];
  post: (url: URL, form: string) => Promise<{ status: number; body: Buffer }>;
} {
  const posted: { url: string; form: Record<string, string> }[] = [];
  return {
    posted,
    post: async (url, form) => {
      posted.push({ url: url.href, form: Object.fromEntries(new URLSearchParams(form)) });
      const body = Buffer.from(JSON.stringify({ refresh_token: `refresh-${posted.length}` }));
      return Promise.resolve({ status, body });
    },
  };
}

/** Nothing of this machine's own accounts: not its files, not its metadata service. */
beforeEach(async () => {
  const nowhere = join(await tempDir(), 'absent');
  for (const name of Object.keys(process.env)) {
    if (/^(?:AWS_|GOOGLE_|GCLOUD_|AZURE_|IDENTITY_|MSI_|IMDS_)/.test(name)) setVariable(name, undefined);
  }
  setVariable('HOME', nowhere);
  setVariable('AWS_CONFIG_FILE', nowhere);
  setVariable('AWS_SHARED_CREDENTIALS_FILE', nowhere);
  setVariable('AWS_EC2_METADATA_DISABLED', 'true');
});

describe('Amazon ECR', () => {
  const base = new URL('https://123456789012.dkr.ecr.eu-west-1.amazonaws.com');
  const reply = (password: string, clock: FakeClock) => ({
    authorizationData: [
      {
        authorizationToken: Buffer.from(`AWS:${password}`).toString('base64'),
        expiresAt: (clock.now() + 12 * HOUR_MS) / 1000,
        proxyEndpoint: base.href,
      },
    ],
  });
  it('gives a password for user AWS, of the region and account of the host, renewed before 12 h are over', async () => {
    const clock = new FakeClock();
    let count = 0;
    const api = await cloud(() => jsonReply(200, reply(`password-${(count += 1)}`, clock)));
    signIn();
    const source = sourceOf({ ecr: { endpoint: api.url } }, { base, clock });
    const given = await Promise.all([source.get(), source.get(), source.get()]);
    expect(given[0]).toEqual({ kind: 'basic', username: 'AWS', password: 'password-1' });
    expect(api.requests).toHaveLength(1);
    const [asked] = api.requests;
    expect(asked?.headers['x-amz-target']).toBe('AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken');
    expect(asked?.headers.authorization).toMatch(/AKIDEXAMPLE\/\d{8}\/eu-west-1\/ecr\//);
    expect(JSON.parse(asked?.body ?? '')).toEqual({ registryIds: ['123456789012'] });
    await clock.advance(11.5 * HOUR_MS);
    expect(await source.get()).toMatchObject({ password: 'password-1' });
    await clock.advance(0.3 * HOUR_MS);
    expect(await source.get()).toMatchObject({ password: 'password-1' });
    await expect.poll(() => source.get()).toMatchObject({ password: 'password-2' });
  });

  it('of the public registry gives a Bearer token', async () => {
    const clock = new FakeClock();
    const authorizationToken = Buffer.from(`AWS:${CANARY}`).toString('base64');
    const expiresAt = (clock.now() + 12 * HOUR_MS) / 1000;
    const api = await cloud(() => jsonReply(200, { authorizationData: { authorizationToken, expiresAt } }));
    signIn();
    const options = { base: new URL('https://public.ecr.aws'), clock };
    const source = sourceOf({ ecr: { endpoint: api.url } }, options);
    expect(await source.get()).toEqual({ kind: 'bearer', token: authorizationToken });
    expect(api.requests[0]?.headers['x-amz-target']).toBe('SpencerFrontendService.GetAuthorizationToken');
    expect(api.requests[0]?.headers.authorization).toContain('/us-east-1/ecr-public/');
  });

  it('signs in by what the default chain finds: a web identity at STS', async () => {
    const clock = new FakeClock();
    const tokenFile = join(await tempDir(), 'token');
    await writeFile(tokenFile, 'web-identity-token');
    const sts = await cloud(() =>
      textReply(
        200,
        `<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleWithWebIdentityResult>
         <Credentials><AccessKeyId>AKIDFROMSTS</AccessKeyId><SecretAccessKey>${CANARY}</SecretAccessKey>
         <SessionToken>session</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration></Credentials>
         </AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>`,
        { 'content-type': 'text/xml' },
      ),
    );
    const api = await cloud(() => jsonReply(200, reply('by-sts', clock)));
    setVariable('AWS_WEB_IDENTITY_TOKEN_FILE', tokenFile);
    setVariable('AWS_ROLE_ARN', 'arn:aws:iam::123456789012:role/puller');
    setVariable('AWS_ENDPOINT_URL_STS', sts.url);
    setVariable('AWS_ENDPOINT_URL_ECR', api.url);
    expect(await sourceOf({ ecr: {} }, { base, clock }).get()).toMatchObject({ password: 'by-sts' });
    expect(sts.requests[0]?.body).toContain('WebIdentityToken=web-identity-token');
    expect(api.requests[0]?.headers.authorization).toContain('AKIDFROMSTS/');
  });

  it('signs in by what the default chain finds: the metadata of the machine', async () => {
    const clock = new FakeClock();
    const metadata = await cloud(({ path, method }) => {
      if (method === 'PUT')
        return textReply(200, 'metadata-token', { 'x-aws-ec2-metadata-token-ttl-seconds': '60' });
      if (path.endsWith('/security-credentials/')) return textReply(200, 'puller');
      return jsonReply(200, {
        Code: 'Success',
        AccessKeyId: 'AKIDFROMIMDS',
        SecretAccessKey: CANARY,
        Token: 'session',
        Expiration: '2099-01-01T00:00:00Z',
      });
    });
    const api = await cloud(() => jsonReply(200, reply('by-imds', clock)));
    setVariable('AWS_EC2_METADATA_DISABLED', undefined);
    setVariable('AWS_EC2_METADATA_SERVICE_ENDPOINT', metadata.url);
    const source = sourceOf({ ecr: { endpoint: api.url } }, { base, clock });
    expect(await source.get()).toMatchObject({ password: 'by-imds' });
    expect(api.requests[0]?.headers.authorization).toContain('AKIDFROMIMDS/');
  });

  it('that refuses is denied, and not asked again for a minute', async () => {
    const clock = new FakeClock();
    const api = await cloud(() => jsonReply(400, { __type: 'UnrecognizedClientException', message: CANARY }));
    signIn();
    const source = sourceOf({ ecr: { endpoint: api.url } }, { base, clock });
    const error = await failure(source.get());
    expect(error).toMatchObject({ reason: 'denied', isFinal: true });
    expect(error.message).toBe(
      "no credentials for r.example: upstreams.r.example.auth.ecr is refused by the cloud's sign-in service (status 400, UnrecognizedClientException)",
    );
    expect(inspect(error, { depth: 10, showHidden: true })).not.toContain(CANARY);
    await failure(source.get());
    expect(api.requests).toHaveLength(1);
    await clock.advance(61_000);
    await failure(source.get());
    expect(api.requests).toHaveLength(2);
  });

  it('without any AWS credentials says so, and one without a region', async () => {
    expect((await failure(sourceOf({ ecr: {} }, { base }).get())).message).toContain(
      'auth.ecr finds no AWS credentials in the default chain',
    );
    signIn();
    expect((await failure(sourceOf({ ecr: {} }).get())).message).toContain('auth.ecr needs region');
  });

  it('that hangs is given up', async () => {
    const clock = new FakeClock();
    const api = await cloud(() => jsonReply(200, {}));
    api.faults.add({ action: { hang: true } });
    signIn();
    const asked = failure(sourceOf({ ecr: { endpoint: api.url } }, { base, clock }).get());
    await api.received();
    await clock.advance(20_001);
    expect((await asked).message).toContain('gets no answer from AWS within 20 s');
  });
});

describe('Google', () => {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const pem = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();

  async function keyFile(
    tokenUrl: string,
    email = 'puller@project.iam.gserviceaccount.com',
  ): Promise<string> {
    const file = join(await tempDir(), 'key.json');
    await writeKey(file, tokenUrl, email);
    return file;
  }
  async function writeKey(file: string, tokenUrl: string, email: string): Promise<void> {
    const key = { type: 'service_account', client_email: email, private_key: pem, token_uri: tokenUrl };
    await writeFile(file, JSON.stringify(key), { mode: 0o600 });
  }
  it('gives an access token for a service account, renewed before it expires', async () => {
    const clock = new FakeClock(Date.now());
    let count = 0;
    const api = await cloud(() =>
      jsonReply(200, { access_token: `ya29.${(count += 1)}`, expires_in: 3600, token_type: 'Bearer' }),
    );
    const source = sourceOf({ google: { keyFile: await keyFile(`${api.url}/token`) } }, { clock });
    const given = await Promise.all([source.get(), source.get()]);
    expect(given[0]).toEqual({ kind: 'basic', username: 'oauth2accesstoken', password: 'ya29.1' });
    expect(api.requests.map(({ method, path }) => `${method} ${path}`)).toEqual(['POST /token']);
    expect(claims(api.requests[0]?.body ?? '')).toMatchObject({
      iss: 'puller@project.iam.gserviceaccount.com',
      scope: 'https://www.googleapis.com/auth/devstorage.read_only',
    });
    await clock.advance(0.7 * HOUR_MS);
    expect(await source.get()).toMatchObject({ password: 'ya29.1' });
    expect(api.requests).toHaveLength(1);
    await clock.advance(0.2 * HOUR_MS);
    await source.get();
    await expect.poll(() => source.get()).toMatchObject({ password: 'ya29.2' });
  });

  it('takes another key as soon as the file has it', async () => {
    const clock = new FakeClock(Date.now());
    const api = await cloud((request) =>
      jsonReply(200, { access_token: String(claims(request.body)['iss']), expires_in: 3600 }),
    );
    const file = await keyFile(api.url, 'one');
    const source = sourceOf({ google: { keyFile: file } }, { clock });
    expect(await source.get()).toMatchObject({ password: 'one' });
    await writeKey(file, api.url, 'other');
    await aSecond(clock);
    expect(await source.get()).toMatchObject({ password: 'other' });
  });

  it('without a key asks the metadata server of the machine', async () => {
    const metadata = await cloud(({ path }) => {
      const answer = path.endsWith('/token') ? { access_token: 'from-metadata', expires_in: 3599 } : {};
      return jsonReply(200, answer, { 'metadata-flavor': 'Google' });
    });
    setVariable('GCE_METADATA_HOST', metadata.host);
    setVariable('METADATA_SERVER_DETECTION', 'assume-present');
    const source = sourceOf({ google: {} });
    expect(await source.get()).toEqual({
      kind: 'basic',
      username: 'oauth2accesstoken',
      password: 'from-metadata',
    });
    const asked = metadata.requests.find(({ path }) => path.endsWith('/token'));
    expect(asked?.headers['metadata-flavor']).toBe('Google');
  });

  it('that refuses the key is denied, without the key or the assertion in the error', async () => {
    const api = await cloud(() => jsonReply(400, { error: 'invalid_grant', error_description: CANARY }));
    const source = sourceOf({ google: { keyFile: await keyFile(api.url) } });
    const error = await failure(source.get());
    expect(error.reason).toBe('denied');
    expect(error.message).toContain(
      "upstreams.r.example.auth.google is refused by the cloud's sign-in service",
    );
    const told = inspect(error, { depth: 10, showHidden: true });
    expect(told).not.toContain(CANARY);
    expect(told).not.toContain('PRIVATE KEY');
    await failure(source.get());
    expect(api.requests).toHaveLength(1);
  });

  it('with a key file that is missing, malformed or open to all says so', async () => {
    const directory = await tempDir();
    const absent = sourceOf({ google: { keyFile: join(directory, 'absent') } });
    expect((await failure(absent.get())).message).toMatch(
      /auth\.google\.keyFile cannot be read: there is no such/,
    );
    const file = join(directory, 'key');
    await writeFile(file, `{"type":"service_account","private_key":"${CANARY}"}`);
    const error = await failure(sourceOf({ google: { keyFile: file } }).get());
    expect(error.message).toMatch(/auth\.google\.keyFile is malformed: it is not a JSON key of Google$/);
    const api = await cloud(() => jsonReply(200, { access_token: 't', expires_in: 60 }));
    const open = await keyFile(api.url);
    await chmod(open, 0o644);
    const source = sourceOf({ google: { keyFile: open } });
    await source.get();
    await source.get();
    expect(source.warnings).toEqual([
      'upstreams.r.example.auth.google.keyFile: holds secrets that every user can read',
    ]);
  });
});

describe('Azure', () => {
  const base = new URL('https://example.azurecr.io');
  const principal = { tenantId: 'tenant-1', clientId: 'client-1' };

  it('exchanges a service principal’s token at the registry for a refresh token, and renews that', async () => {
    const clock = new FakeClock();
    const aad = await cloud(() => signInReply('aad-token'));
    const { posted, post } = exchange();
    const auth = { azure: { ...principal, clientSecret: CANARY, endpoint: aad.url } };
    const source = sourceOf(auth, { base, clock, post });
    const given = await Promise.all([source.get(), source.get()]);
    expect(given[0]).toEqual({ kind: 'identity-token', token: 'refresh-1' });
    expect(aad.requests.map(({ method, path }) => `${method} ${path}`)).toEqual([
      'POST /tenant-1/oauth2/v2.0/token',
    ]);
    expect(Object.fromEntries(new URLSearchParams(aad.requests[0]?.body))).toMatchObject({
      grant_type: 'client_credentials',
      client_id: 'client-1',
      client_secret: CANARY,
      scope: 'https://containerregistry.azure.net/.default',
    });
    expect(posted).toEqual([
      {
        url: 'https://example.azurecr.io/oauth2/exchange',
        form: {
          grant_type: 'access_token',
          service: 'example.azurecr.io',
          tenant: 'tenant-1',
          access_token: 'aad-token',
        },
      },
    ]);
    await clock.advance(0.9 * HOUR_MS);
    await source.get();
    await expect.poll(() => source.get()).toEqual({ kind: 'identity-token', token: 'refresh-2' });
  });

  it('takes the token of a federated identity from its file, each time anew', async () => {
    const clock = new FakeClock();
    const aad = await cloud(() => signInReply('aad-token'));
    const file = join(await tempDir(), 'token');
    await writeFile(file, 'assertion-1');
    const auth = { azure: { ...principal, federatedTokenFile: file, endpoint: aad.url } };
    const source = sourceOf(auth, { base, clock, post: exchange().post });
    await source.get();
    await writeFile(file, 'assertion-22');
    await clock.advance(1.1 * HOUR_MS);
    await source.get();
    const assertions = aad.requests.map(({ body }) => new URLSearchParams(body).get('client_assertion'));
    expect(assertions).toEqual(['assertion-1', 'assertion-22']);
  });

  it('asks for the managed identity of the machine, or one that is named', async () => {
    const metadata = await cloud(() =>
      jsonReply(200, {
        access_token: 'managed-token',
        expires_in: '86399',
        expires_on: String(Math.floor(Date.now() / 1000) + 86_399),
        token_type: 'Bearer',
        resource: 'https://containerregistry.azure.net',
      }),
    );
    setVariable('AZURE_POD_IDENTITY_AUTHORITY_HOST', metadata.url);
    const { posted, post } = exchange();
    expect(await sourceOf({ azure: {} }, { base, post }).get()).toEqual({
      kind: 'identity-token',
      token: 'refresh-1',
    });
    await sourceOf({ azure: { clientId: 'named' } }, { base, post }).get();
    expect(posted[0]?.form).toMatchObject({ access_token: 'managed-token' });
    expect(metadata.requests.map(({ query }) => query.get('resource'))).toEqual([
      'https://containerregistry.azure.net',
      'https://containerregistry.azure.net',
    ]);
    expect(metadata.requests[1]?.query.get('client_id')).toBe('named');
  });

  it('that refuses is denied, without the secret in the error; so is a registry that refuses', async () => {
    const aad = await cloud(() =>
      jsonReply(401, { error: 'invalid_client', error_description: CANARY, error_codes: [7000215] }),
    );
    const auth = { azure: { ...principal, clientSecret: CANARY, endpoint: aad.url } };
    const error = await failure(sourceOf(auth, { base, post: exchange().post }).get());
    expect(error.reason).toBe('denied');
    expect(error.message).toContain(
      "upstreams.r.example.auth.azure is refused by the cloud's sign-in service",
    );
    expect(inspect(error, { depth: 10, showHidden: true })).not.toContain(CANARY);
    aad.answer = () => signInReply('aad-token');
    const refused = await failure(sourceOf(auth, { base, post: exchange(401).post }).get());
    expect(refused).toMatchObject({ reason: 'denied' });
    expect(refused.message).toContain('is refused by the registry (status 401)');
  });

  it('that cannot be reached is unavailable', async () => {
    const aad = await cloud(() => signInReply('aad-token'));
    aad.faults.add({ action: { drop: 'reset' } });
    const auth = { azure: { ...principal, clientSecret: CANARY, endpoint: aad.url } };
    const error = await failure(sourceOf(auth, { base, post: exchange().post }).get());
    expect(error.reason).toBe('unavailable');
    expect(error.message).toContain("gets no answer from the cloud's sign-in service");
  });
});
