import { mkdir, stat } from 'node:fs/promises';
import { request } from 'node:http';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { readImportKey } from '../../src/import-key.ts';
import { get } from '../support/http-get.ts';
import { type RunningApp, startApp } from '../support/running-app.ts';

const BYTES = Buffer.from('some layer');
const DIGEST = digestOf(BYTES);
const OCTETS = { 'content-type': 'application/octet-stream' };

function start(adminToken?: string): Promise<RunningApp> {
  const upstreams = [{ name: 'docker.io', url: 'http://127.0.0.1:9' }];
  return startApp({ upstreams, ...(adminToken !== undefined && { adminToken }) });
}

interface Answer {
  readonly status: number;
  readonly text: string;
  /** Whether it was asked for the body. */
  readonly continued: boolean;
}

function send(
  { adminUrl, dataDir }: RunningApp,
  {
    method = 'PUT',
    path = `content/${DIGEST}?upstream=docker.io`,
    body = BYTES,
    headers = {},
    key = readImportKey(dataDir),
  }: {
    readonly method?: string;
    readonly path?: string;
    readonly body?: Buffer;
    readonly headers?: Readonly<Record<string, string>>;
    /** Absent: that of the server. */
    readonly key?: string | undefined;
  },
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const asking = request(`${adminUrl}/api/v1/${path}`, {
      method,
      agent: false,
      headers: {
        'content-length': String(body.length),
        ...(key !== undefined && { authorization: `Bearer ${key}` }),
        ...headers,
      },
    });
    let continued = false;
    asking.once('continue', () => {
      continued = true;
      asking.end(body);
    });
    asking.once('response', (answer) => {
      let text = '';
      answer.setEncoding('utf8').on('data', (part: string) => (text += part));
      answer.on('end', () => {
        asking.destroy();
        resolve({ status: answer.statusCode ?? 0, text, continued });
      });
    });
    asking.on('error', reject);
    if (headers['expect'] === undefined) asking.end(body);
    else asking.flushHeaders();
  });
}

describe('bytes that are sent to the admin API', () => {
  test('are asked for when they are wanted, and not when they are here', async () => {
    const app = await start();
    const headers = { ...OCTETS, expect: '100-continue' };
    expect(await send(app, { headers })).toEqual({
      status: 200,
      text: '{"outcome":"added"}',
      continued: true,
    });
    expect(await send(app, { headers })).toEqual({
      status: 200,
      text: '{"outcome":"present"}',
      continued: false,
    });
  });

  test('are taken from one who sends them without asking', async () => {
    const app = await start();
    expect(await send(app, { headers: OCTETS })).toMatchObject({ status: 200, text: '{"outcome":"added"}' });
  });

  test.each([
    [
      'of another type',
      { headers: { 'content-type': 'text/plain' } },
      400,
      'Content-Type: accepted is application/octet-stream',
    ],
    [
      'under no digest',
      { path: 'content/latest?upstream=docker.io', headers: OCTETS },
      400,
      'digest: accepted is sha256:',
    ],
    [
      'for nobody',
      { path: `content/${DIGEST}`, headers: OCTETS },
      400,
      'upstream: accepted is the name of an upstream',
    ],
    [
      'of another digest',
      { body: Buffer.from('other bytes'), headers: OCTETS },
      400,
      'the bytes are others than the digest names',
    ],
    ['by another site', { headers: { ...OCTETS, 'sec-fetch-site': 'cross-site' } }, 403, 'other web sites'],
    ['to a name', { headers: { ...OCTETS, host: 'evil.example' } }, 403, 'Host: accepted is'],
  ])('%s are refused, and nothing is stored', async (_, sent, status, sentence) => {
    const app = await start();
    const answer = await send(app, sent);
    expect(answer).toMatchObject({ status });
    expect(answer.text).toContain(sentence);
    expect(
      JSON.parse((await send(app, { method: 'GET', path: 'status', body: Buffer.alloc(0) })).text),
    ).toMatchObject({
      blobs: 0,
      reservedBytes: 0,
    });
  });

  test('without the key in the data directory are refused before they are asked for, and so are images', async () => {
    const app = await start();
    const file = join(app.dataDir, 'import.key');
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    const headers = { ...OCTETS, expect: '100-continue' };
    for (const key of ['', 'wrong'])
      expect(await send(app, { headers, key })).toMatchObject({
        status: 403,
        continued: false,
        text: expect.stringContaining('import.key of the data directory'),
      });
    const asJson = { 'content-type': 'application/json' };
    const image = { method: 'POST', path: 'images', headers: asJson, body: Buffer.from('{}'), key: 'wrong' };
    expect(await send(app, image)).toMatchObject({ status: 403 });
    expect(await send(app, { ...image, key: undefined })).toMatchObject({ status: 400 });
  });

  test('are taken with a key that is new with every start', async () => {
    const first = await start();
    const key = readImportKey(first.dataDir);
    await first.close();
    const upstreams = [{ name: 'docker.io', url: 'http://127.0.0.1:9' }];
    const second = await startApp({ upstreams, dataDir: first.dataDir });
    expect(await send(second, { headers: OCTETS, key })).toMatchObject({ status: 403 });
    expect(await send(second, { headers: OCTETS })).toMatchObject({ status: 200 });
  });

  test('without the token are refused before they are asked for', async () => {
    const app = await start('canary-token');
    const headers = { ...OCTETS, expect: '100-continue' };
    expect(await send(app, { headers })).toMatchObject({ status: 401, continued: false });
  });
});

test('an image is not taken without its manifest, nor with a tag that is none', async () => {
  const app = await start();
  const image = {
    upstream: 'docker.io',
    repository: 'library/app',
    tags: ['v1'],
    digest: DIGEST,
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    checkedAt: 1,
  };
  const headers = { 'content-type': 'application/json' };
  const post = (document: object) =>
    send(app, { method: 'POST', path: 'images', headers, body: Buffer.from(JSON.stringify(document)) });
  expect(await post(image)).toMatchObject({ status: 400 });
  expect((await post({ ...image, tags: ['not a tag'] })).text).toContain('tags.0: accepted are tags');
  expect((await post({ ...image, mediaType: 'text/plain' })).text).toContain(
    'mediaType: accepted are application/',
  );
});

test('a directory in which no key can be written keeps nobody from pulling', async () => {
  const first = await start();
  await first.close();
  await mkdir(join(first.dataDir, 'import.key.new'));
  const upstreams = [{ name: 'docker.io', url: 'http://127.0.0.1:9' }];
  const app = await startApp({ upstreams, dataDir: first.dataDir });
  expect((await get(`${app.url}/v2/`)).status).toBe(200);
  expect(app.logLines.filter(({ level }) => level === 'warn').map(({ msg }) => msg)).toContainEqual(
    expect.stringContaining('import.key cannot be written'),
  );
  // Nor is the key of the server before good for anything.
  expect(await send(app, {})).toMatchObject({ status: 403 });
});
