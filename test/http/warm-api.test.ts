import { describe, expect, it } from 'vitest';
import { closeAfterTest } from '../support/close-after-test.ts';
import { FakeRegistry } from '../support/fake-registry.ts';
import { buildImage, pushTo } from '../support/images.ts';
import { startApp } from '../support/running-app.ts';

const TOKEN = 'canary-admin-token-77';
const APP = { upstream: 'docker.io', repository: 'library/app', tag: 'v1' };

async function start() {
  const registry = closeAfterTest(await FakeRegistry.start());
  pushTo(registry, { repository: 'library/app', tag: 'v1', image: buildImage() });
  const app = await startApp({ upstreams: [{ name: 'docker.io', url: registry.url }], adminToken: TOKEN });
  const post = async (body: unknown, headers: Record<string, string> = {}) => {
    const response = await fetch(`${app.adminUrl}/api/v1/warm`, {
      method: 'POST',
      headers: { authorization: `Bearer ${TOKEN}`, 'content-type': 'application/json', ...headers },
      body: typeof body === 'string' ? body : JSON.stringify(body),
    });
    return { status: response.status, text: await response.text() };
  };
  return { registry, app, post };
}

describe('POST /api/v1/warm', () => {
  it('tells what is done, a line for each event, and that it is the end', async () => {
    const { post } = await start();
    const { status, text } = await post({ targets: [APP], platforms: ['linux/amd64'] });
    expect(status).toBe(200);
    const lines = text.trim().split('\n');
    expect(JSON.parse(lines.at(-1) ?? '')).toEqual({ end: true });
    expect(JSON.parse(lines.at(-2) ?? '')).toMatchObject({ event: 'done', images: { whole: 1 } });
    expect(JSON.parse(lines[0] ?? '')).toEqual({ event: 'begun', images: 1, dryRun: false });
  });

  it.each([
    [{}, /targets: accepted is a list of 1 to 20000 images/],
    [{ targets: [] }, /targets: accepted is a list of 1 to 20000 images/],
    [{ targets: [{ ...APP, tag: 'a b' }] }, /targets\.0\.tag: accepted is a tag/],
    [{ targets: [{ ...APP, repository: 'Library/App' }] }, /targets\.0\.repository: accepted is the name/],
    [{ targets: [{ ...APP, digest: 'sha256:beef' }] }, /targets\.0\.digest: accepted is sha256:/],
    [{ targets: [{ ...APP, tags: '^1' }] }, /targets\.0: accepted is one of tag, digest and tags/],
    [{ targets: [APP], platforms: ['plan9'] }, /platforms\.0: accepted is OS\/ARCHITECTURE/],
    [{ targets: [APP], concurrency: 0 }, /concurrency: accepted is 1 to 32/],
    [{ targets: [APP], dryrun: true }, /dryrun: unknown key/],
    ['[', /the body: accepted is JSON/],
  ])('answers %j with what is accepted', async (body, message) => {
    const { post, registry } = await start();
    const { status, text } = await post(body);
    expect(status).toBe(400);
    expect(JSON.parse(text)).toMatchObject({
      reason: 'invalid',
      detail: expect.stringMatching(message),
    });
    expect(registry.requests).toEqual([]);
  });

  it('takes thousands of images, and no more than 4 MiB', async () => {
    const { post } = await start();
    const targets = Array.from({ length: 10_000 }, (_, at) => ({
      upstream: 'quay.io',
      repository: `organisation-of-some-length/application-${at}`,
      tag: 'v1.27.3-some-suffix',
    }));
    const many = await post({ targets, dryRun: true });
    expect(many.status).toBe(200);
    expect(many.text).toContain('"images":{"total":10000,"whole":0,"failed":10000}');
    const much = await post({ targets: [{ ...APP, place: 'x'.repeat(5_000_000) }] });
    expect(much.status).toBe(413);
    expect(much.text).toContain('accepted are 4194304 bytes at most');
  });

  it('names no more faults than a person reads', async () => {
    const { post } = await start();
    const { text } = await post({ targets: Array.from({ length: 5000 }, () => ({ ...APP, tag: '!' })) });
    expect(text.length).toBeLessThan(5000);
  });

  it('is for who has the token, and for no other site', async () => {
    const { post } = await start();
    expect((await post({ targets: [APP] }, { authorization: 'Bearer wrong' })).status).toBe(401);
    expect((await post({ targets: [APP] }, { origin: 'https://evil.example' })).status).toBe(403);
    expect((await post({ targets: [APP] }, { 'content-type': 'text/plain' })).status).toBe(415);
  });
});
