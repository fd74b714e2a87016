import { request } from 'node:http';
import { expect, it } from 'vitest';
import { startApp } from '../support/running-app.ts';

interface Told {
  readonly status: number;
  readonly type: string;
  readonly allow: string | undefined;
  readonly body: string;
}

/** As it is said: neither a length nor chunks unless they are asked for. */
function send(url: string, method: string, headers: Record<string, string>, pieces: readonly string[] = []) {
  return new Promise<Told>((resolve, reject) => {
    const sent = request(url, { method, headers }, (response) => {
      const body: Buffer[] = [];
      response.on('data', (piece: Buffer) => body.push(piece));
      response.on('end', () =>
        resolve({
          status: response.statusCode ?? 0,
          type: response.headers['content-type'] ?? '',
          allow: response.headers.allow,
          body: Buffer.concat(body).toString(),
        }),
      );
      response.on('error', reject);
    });
    sent.on('error', reject);
    if (pieces.length === 0) sent.removeHeader('Transfer-Encoding');
    sent.useChunkedEncodingByDefault = pieces.length > 0;
    for (const piece of pieces) sent.write(piece);
    sent.end();
  });
}

const JSON_TYPE = { 'content-type': 'application/json' };

it('a post without a body is taken where none is needed, and told what is accepted elsewhere', async () => {
  const app = await startApp({ upstreams: [{ name: 'docker.io', url: 'http://127.0.0.1:9' }] });
  for (const path of ['offline', 'pin', 'unpin', 'purge', 'verify', 'evict', 'warm', 'warm/jobs']) {
    const told = await send(`${app.adminUrl}/api/v1/${path}`, 'POST', JSON_TYPE);
    expect(`${path} ${told.status} ${told.body}`).toContain(`${path} 400`);
    expect(told.body).toContain('the body: accepted is JSON');
  }
});

it('a body in chunks is read as one with a length, and no further than its limit', async () => {
  const app = await startApp({ upstreams: [{ name: 'docker.io', url: 'http://127.0.0.1:9' }] });
  const chunked = { ...JSON_TYPE, 'transfer-encoding': 'chunked' };
  const url = `${app.adminUrl}/api/v1/pin`;
  const pinned = await send(url, 'POST', chunked, ['{"pattern":', '"library/app:v1"}']);
  expect(pinned).toMatchObject({ status: 200 });
  const large = await send(url, 'POST', chunked, ['{"pattern":"', 'a'.repeat(20_000), '"}']);
  expect(large).toMatchObject({ status: 413, type: 'application/problem+json' });
  const status = await send(`${app.adminUrl}/api/v1/pins`, 'GET', {});
  expect(status.body).not.toContain('aaaa');
});

it.each([
  ['GET', '/api/v1/nosuch', 404, undefined],
  ['GET', '/api/v1/status/', 404, undefined],
  ['GET', '/api/v1/purge', 405, 'POST'],
  ['DELETE', '/api/v1/pins', 405, 'GET'],
  ['PUT', '/api/v1/status', 405, 'GET'],
  ['GET', '/api/v1/warm/jobs/x/cancel', 405, 'POST'],
])('%s %s is %i, as a problem', async (method, path, status, allow) => {
  const app = await startApp({ upstreams: [{ name: 'docker.io', url: 'http://127.0.0.1:9' }] });
  const told = await send(`${app.adminUrl}${path}`, method, JSON_TYPE);
  expect(told).toMatchObject({ status, type: 'application/problem+json', allow });
  expect(JSON.parse(told.body)).toMatchObject({ status, reason: 'invalid' });
});
