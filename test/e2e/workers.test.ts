import { readFileSync } from 'node:fs';
import { readdir, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { Agent, request } from 'node:http';
import { createConnection } from 'node:net';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { Digest } from '../../src/oci/digest.ts';
import { OCI_MANIFEST } from '../../src/oci/media-type.ts';
import { CAMPAIGN_SCALE } from '../support/campaign-scale.ts';
import { closeAfterTest } from '../support/close-after-test.ts';
import { EntrepotProcess } from '../support/entrepot-process.ts';
import { FakeRegistry } from '../support/fake-registry.ts';
import { Gate } from '../support/gate.ts';
import { get, type GetResult, openGet } from '../support/http-get.ts';
import { sendRaw } from '../support/raw-http.ts';
import { SOON } from '../support/soon.ts';
import { tempDir } from '../support/temp-dir.ts';
import {
  certificateAuthority as ca,
  selfSignedCertificate,
  serverCertificate,
} from '../upstream/certificates.ts';

const MIB = 1024 * 1024;
/** Busy machines take their time. */

interface Setting {
  readonly registry: FakeRegistry;
  readonly entrepot: EntrepotProcess;
}

async function start(config: Readonly<Record<string, unknown>> = {}): Promise<Setting> {
  const registry = closeAfterTest(await FakeRegistry.start());
  const upstreams = { 'docker.io': { url: registry.url, default: true } };
  const entrepot = await EntrepotProcess.start({ config: { upstreams, workers: 2, ...config } });
  return { registry, entrepot };
}

function blobUrl({ url }: EntrepotProcess, digest: string): string {
  return `${url}/v2/library/app/blobs/${digest}`;
}

function workerPids(entrepot: EntrepotProcess): readonly number[] {
  return entrepot.log.filter(({ msg }) => msg === 'a worker serves').map(({ pid }) => Number(pid));
}

/** In the store, so that the next GET is a hit. */
async function stored({ registry, entrepot }: Setting, size: number, seed: number): Promise<Digest> {
  const digest = registry.addBlob('library/app', { size, seed });
  expect(await get(blobUrl(entrepot, digest), { digestOnly: true })).toMatchObject({
    complete: true,
    digest,
  });
  await expect.poll(async () => entrepot.metric('entrepot_fills_in_flight')).toBe(0);
  return digest;
}

async function blobFile({ dataDir }: EntrepotProcess, digest: Digest): Promise<string> {
  const hex = digest.slice('sha256:'.length);
  const file = join(dataDir, 'content', 'v1', 'sha256', hex.slice(0, 2), hex);
  await stat(file);
  return file;
}

function blobLines(entrepot: EntrepotProcess): readonly Readonly<Record<string, unknown>>[] {
  return entrepot.log.filter(({ kind, msg }) => kind === 'blob' && msg.startsWith('request'));
}

async function ownerSocket({ dataDir }: EntrepotProcess): Promise<string> {
  const place = (await readdir(dataDir)).find((name) => name.startsWith('fronts-')) ?? '';
  return join(dataDir, place, 'owner.sock');
}

interface Answer {
  readonly status: number;
  readonly id: string;
  readonly body: string;
}

/** `undefined`: there was none in time. */
async function ask(
  url: string,
  { agent, limitMs = 30_000 }: { readonly agent: Agent; readonly limitMs?: number },
): Promise<Answer | undefined> {
  return new Promise((resolve) => {
    const asked = request(url, { agent, signal: AbortSignal.timeout(limitMs) }, (response) => {
      let body = '';
      response.setEncoding('utf8').on('data', (text: string) => (body += text));
      response.once('end', () =>
        resolve({ status: response.statusCode ?? 0, id: String(response.headers['x-request-id']), body }),
      );
    });
    asked.once('error', () => resolve(undefined));
    asked.end();
  });
}

/** What a client sees of an answer, but for what is new in each. */
function shown({
  status,
  rawHeaders,
  length,
  complete,
  digest: got,
  headers,
}: GetResult): Record<string, unknown> {
  const names = rawHeaders.filter((_, at) => at % 2 === 0).toSorted();
  const { date: _date, age: _age, 'x-request-id': id, 'content-type': type = '', ...rest } = headers;
  // The boundary of several ranges is a new one each time.
  const isMultipart = type.startsWith('multipart/');
  const body = isMultipart ? 'multipart' : got;
  return { status, names, length, complete, body, rest, id: id?.length, type: isMultipart || type };
}

// Who has ended may stay a zombie, where nobody asks how it ended.
function runs(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

/** Each test starts three processes: `npm test` has some of them, campaigns have all. */
const testInCampaigns: (name: string, run: () => Promise<void>) => void =
  CAMPAIGN_SCALE > 1 ? test : () => undefined;

describe('several workers', () => {
  test('answer as one process does: base, manifests, blobs, ranges, HEAD, errors', async () => {
    const setting = await start();
    const { registry, entrepot } = setting;
    const digest = await stored(setting, 3 * MIB, 1);
    const manifest = JSON.stringify({ schemaVersion: 2, mediaType: OCI_MANIFEST, config: {}, layers: [] });
    const manifestDigest = registry.addManifest('library/app', manifest, OCI_MANIFEST, ['v1']);
    const alone = await EntrepotProcess.start({
      config: { upstreams: { 'docker.io': { url: registry.url, default: true } } },
    });
    await get(blobUrl(alone, digest), { digestOnly: true });
    await expect.poll(async () => alone.metric('entrepot_fills_in_flight')).toBe(0);
    const asked: readonly (readonly [target: string, method?: string, headers?: Record<string, string>])[] = [
      ['/v2/'],
      ['/v2/library/app/manifests/v1'],
      ['/v2/library/app/manifests/v1', 'HEAD'],
      [`/v2/library/app/manifests/${manifestDigest}`, 'GET', { 'If-None-Match': `"${manifestDigest}"` }],
      [`/v2/library/app/blobs/${digest}`],
      [`/v2/library/app/blobs/${digest}`, 'HEAD'],
      [`/v2/library/app/blobs/${digest}`, 'GET', { Range: 'bytes=1048570-2097160' }],
      [`/v2/library/app/blobs/${digest}`, 'GET', { Range: 'bytes=5-9' }],
      [`/v2/library/app/blobs/${digest}`, 'GET', { Range: 'bytes=99999999-' }],
      [`/v2/library/app/blobs/${digest}`, 'GET', { Range: 'bytes=0-70000,200000-300000' }],
      ['/v2/library/app/manifests/none'],
      ['/v2/library/app/blobs/nonsense'],
      ['/nowhere'],
      ['/v2/', 'POST'],
      ['/v2/', 'GET', { 'Content-Length': '0' }],
    ];
    for (const [target, method = 'GET', headers = {}] of asked) {
      const [one, several] = await Promise.all(
        [alone, entrepot].map(async ({ url }) => get(`${url}${target}`, { method, headers })),
      );
      if (one === undefined || several === undefined) throw new Error('nothing was asked');
      expect({ target, method, ...shown(several) }).toEqual({ target, method, ...shown(one) });
    }
  });

  test('fetch a cold blob once for 32 clients that come to all of them, and end no wrong one', async () => {
    const { registry, entrepot } = await start();
    const digest = registry.addBlob('library/app', { size: 16 * MIB, seed: 2 });
    const pulls = Array.from({ length: 32 }, async () =>
      get(blobUrl(entrepot, digest), { digestOnly: true }),
    );
    for (const pull of await Promise.all(pulls)) expect(pull).toMatchObject({ complete: true, digest });
    expect(registry.blobBodyBytes(digest)).toBe(16 * MIB);
    expect(await entrepot.metric('entrepot_upstream_bytes_total')).toBe(16 * MIB);

    const wrong = registry.addBlob('library/app', { size: 4 * MIB, seed: 8 });
    registry.faults.add({ match: { path: /\/blobs\// }, action: { flipBitAt: 3 * MIB } });
    const pull = await get(blobUrl(entrepot, wrong), { digestOnly: true });
    expect(pull.complete).toBe(false);
    expect(pull.length).toBeLessThan(4 * MIB);
  });

  test('one that is killed takes only its own pulls with it, and is replaced', async () => {
    const setting = await start({ connectionsPerClient: 100 });
    const { entrepot } = setting;
    const digest = await stored(setting, 32 * MIB, 3);
    const gate = new Gate();
    const pulls = await Promise.all(
      Array.from({ length: 20 }, async () =>
        openGet(blobUrl(entrepot, digest), {
          digestOnly: true,
          pauseAfter: { bytes: 64 * 1024, gate },
        }),
      ),
    );
    await Promise.all(pulls.map(async (pull) => pull.read(1024)));
    const [victim = 0] = workerPids(entrepot);
    process.kill(victim, 'SIGKILL');
    await entrepot.logged('a worker ended unexpectedly: another one is started');
    gate.open();
    const results = await Promise.all(pulls.map(async (pull) => pull.finished()));
    // Connections are shared out evenly.
    expect(results.filter(({ complete }) => complete)).toHaveLength(10);
    for (const { complete, digest: got } of results) if (complete) expect(got).toBe(digest);
    await expect.poll(() => blobLines(entrepot).length).toBe(21);
    expect(blobLines(entrepot).filter(({ incomplete }) => incomplete === true)).toHaveLength(10);
    await expect.poll(async () => entrepot.metric('entrepot_fronts')).toBe(2);
    expect(await entrepot.metric('entrepot_front_restarts_total')).toBe(1);
    expect(workerPids(entrepot)).toHaveLength(3);
    expect(await get(blobUrl(entrepot, digest), { digestOnly: true })).toMatchObject({ digest });
  });

  testInCampaigns('keep clients waiting, not refused, while all of them are being replaced', async () => {
    const setting = await start();
    const { entrepot } = setting;
    const digest = await stored(setting, MIB, 4);
    for (const pid of workerPids(entrepot)) process.kill(pid, 'SIGKILL');
    await expect.poll(async () => entrepot.metric('entrepot_fronts')).toBe(0);
    expect((await get(`${entrepot.adminUrl}/readyz`)).status).toBe(503);
    expect(await get(blobUrl(entrepot, digest), { digestOnly: true })).toMatchObject({
      complete: true,
      digest,
    });
  });

  testInCampaigns('end with the process that started them, however it ends', async () => {
    const { entrepot } = await start();
    const pids = workerPids(entrepot);
    expect(pids.filter(runs)).toHaveLength(2);
    entrepot.signal('SIGKILL');
    await entrepot.ended;
    await expect.poll(() => pids.filter(runs)).toEqual([]);
  });

  testInCampaigns('tell the log, metrics and activity of what they send as one process does', async () => {
    const setting = await start();
    const { entrepot } = setting;
    const digest = await stored(setting, 8 * MIB, 5);
    const gate = new Gate();
    const pull = await openGet(blobUrl(entrepot, digest), {
      digestOnly: true,
      pauseAfter: { bytes: MIB, gate },
    });
    await pull.read(1024);
    const live = async () => {
      const { body } = await get(`${entrepot.adminUrl}/api/v1/activity/live`);
      return JSON.parse(body.toString()) as { requests: { sentBytes: number; totalBytes: number }[] };
    };
    await expect
      .poll(async () => (await live()).requests)
      .toMatchObject([
        { sentBytes: expect.toSatisfy((bytes: number) => bytes >= MIB) as number, totalBytes: 8 * MIB },
      ]);
    gate.open();
    expect(await pull.finished()).toMatchObject({ complete: true, digest });
    await expect.poll(() => blobLines(entrepot).length).toBe(2);
    expect(blobLines(entrepot).at(-1)).toMatchObject({
      msg: 'request',
      outcome: 'hit',
      status: 200,
      bytes: 8 * MIB,
      client: '127.0.0.1',
      upstream: 'docker.io',
      reference: digest,
    });
    expect(blobLines(entrepot).at(-1)).not.toHaveProperty('incomplete');
    const metrics = await entrepot.metrics();
    expect(metrics).toMatch(
      new RegExp(
        `entrepot_response_bytes_total\\{upstream="docker.io",kind="blob",outcome="hit"\\} ${8 * MIB}\\n`,
      ),
    );
    const left = await get(blobUrl(entrepot, digest), { abortAfter: 2 * MIB });
    expect(left.complete).toBe(false);
    await expect.poll(() => blobLines(entrepot).length).toBe(3);
    const line = blobLines(entrepot).at(-1);
    expect(line).toMatchObject({ status: 200, incomplete: true });
    expect(Number(line?.['bytes'])).toBeGreaterThanOrEqual(2 * MIB);
    expect(Number(line?.['bytes'])).toBeLessThan(8 * MIB + 1);
  });

  testInCampaigns(
    'give answers that many ask for by themselves, tell of each, and forget them when they change',
    async () => {
      const { registry, entrepot } = await start();
      const manifest = JSON.stringify({ schemaVersion: 2, mediaType: OCI_MANIFEST, config: {}, layers: [] });
      registry.addManifest('library/app', manifest, OCI_MANIFEST, ['v1']);
      const url = `${entrepot.url}/v2/library/app/manifests/v1`;
      const agent = new Agent({ keepAlive: true, maxSockets: 1 });
      const answers: Answer[] = [];
      /** The process that decides sleeps meanwhile. */
      const withoutOwner = async (): Promise<Answer | undefined> => {
        entrepot.signal('SIGSTOP');
        try {
          return await ask(url, { agent, limitMs: 1000 });
        } finally {
          entrepot.signal('SIGCONT');
        }
      };
      let alone: Answer | undefined;
      while (alone === undefined) {
        for (let time = 0; time < 20; time += 1) {
          const answer = await ask(url, { agent });
          if (answer !== undefined) answers.push(answer);
        }
        alone = await withoutOwner();
        if (alone !== undefined) answers.push(alone);
      }
      expect(answers.every(({ status, body }) => status === 200 && body === manifest)).toBe(true);
      const ids = answers.map(({ id }) => id);
      expect(new Set(ids).size).toBe(ids.length);
      const lines = () => entrepot.log.filter(({ reference }) => reference === 'v1');
      await expect.poll(() => lines().map(({ request: id }) => id)).toEqual(expect.arrayContaining(ids));
      expect(lines().find(({ request: id }) => id === alone.id)).toMatchObject({
        outcome: 'hit',
        status: 200,
        bytes: manifest.length,
        client: '127.0.0.1',
      });

      registry.untag('library/app', 'v1');
      const purged = await fetch(`${entrepot.adminUrl}/api/v1/purge`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ upstream: 'docker.io', repository: 'library/app', tag: 'v1' }),
      });
      expect(await purged.text()).toContain('"event":"done"');
      expect((await ask(url, { agent }))?.status).toBe(404);
      agent.destroy();
    },
  );

  test('give a file that turns out bad back, and send one that is removed to its end', async () => {
    const setting = await start({ cache: { scrub: { every: 'never' } } });
    const { registry, entrepot } = setting;
    const digest = await stored(setting, 24 * MIB, 6);
    const gate = new Gate();
    const pull = await openGet(blobUrl(entrepot, digest), {
      digestOnly: true,
      pauseAfter: { bytes: 64 * 1024, gate },
    });
    await pull.read(1024);
    // Cut while it is sent, far behind what the connection holds.
    await truncate(await blobFile(entrepot, digest), 20 * MIB);
    gate.open();
    expect(await pull.finished()).toMatchObject({ status: 200, complete: true, digest });
    await expect.poll(() => blobLines(entrepot).length).toBe(2);
    expect(blobLines(entrepot).at(-1)).toMatchObject({ bytes: 24 * MIB, status: 200 });
    expect(registry.count({ method: 'GET', path: /\/blobs\// })).toBeGreaterThan(1);
    expect(await entrepot.metric('entrepot_integrity_failures_total')).toBe(1);

    const removed = await stored(setting, 24 * MIB, 14);
    const again = new Gate();
    const other = await openGet(blobUrl(entrepot, removed), {
      digestOnly: true,
      pauseAfter: { bytes: MIB, gate: again },
    });
    await other.read(1024);
    await rm(await blobFile(entrepot, removed));
    again.open();
    expect(await other.finished()).toMatchObject({ complete: true, digest: removed });
  });

  test('never end a body that is not whole, when the process that owns the cache is killed', async () => {
    const { registry, entrepot } = await start();
    const digest = registry.addBlob('library/app', { size: 8 * MIB, seed: 7 });
    const rest = new Gate();
    registry.faults.add({
      match: { path: /\/blobs\// },
      action: { stallAfter: { bytes: 2 * MIB, gate: rest } },
    });
    const pull = await openGet(blobUrl(entrepot, digest), { digestOnly: true });
    await pull.read(MIB);
    entrepot.signal('SIGKILL');
    expect(await pull.finished()).toMatchObject({ status: 200, complete: false });
    rest.open();
  });

  test('take no word of a client for one of theirs, nor the owner any of a stranger at its socket', async () => {
    const setting = await start();
    const { entrepot } = setting;
    const digest = await stored(setting, MIB, 9);
    const url = blobUrl(entrepot, digest);
    const lies = {
      'X-Entrepot-Client': '203.0.113.9',
      'X-Entrepot-Front': 'x',
      'X-Entrepot-Given-Back': '1 0',
      'x-entrepot-target': '%2Fv2%2F',
      'X-Entrepot-Body': 'chunked',
      'X-Entrepot-Hosts': '0',
      'X-Entrepot-File': '1 0 10 10 0 %2Fetc%2Fpasswd',
    };
    expect(await get(url, { headers: lies })).toMatchObject({ status: 200, complete: true, digest });
    await expect.poll(() => blobLines(entrepot).length).toBe(2);
    expect(blobLines(entrepot).at(-1)).toMatchObject({ client: '127.0.0.1', reference: digest });
    const { rawHeaders } = await get(url);
    expect(rawHeaders.join('\n').toLowerCase()).not.toContain('entrepot-f');

    const path = await ownerSocket(entrepot);
    expect((await stat(join(path, '..'))).mode & 0o777).toBe(0o700);
    const answered = await new Promise<string>((resolve) => {
      let got = '';
      const socket = createConnection({ path });
      socket.on('data', (bytes: Buffer) => (got += bytes.toString('latin1')));
      socket.on('close', () => resolve(got));
      socket.on('error', () => undefined);
      socket.write(
        'GET /v2/ HTTP/1.1\r\nHost: a\r\nX-Entrepot-Client: 203.0.113.9\r\nX-Entrepot-Front: x\r\n\r\n',
      );
    });
    expect(answered).toBe('');
    expect(entrepot.log.filter(({ client }) => client === '203.0.113.9')).toEqual([]);
  });

  test('refuse what one process refuses: two hosts, a body, headers that are too large, what is no HTTP', async () => {
    const { entrepot } = await start();
    const port = Number(new URL(entrepot.url).port);
    const statusOf = async (text: string) => (await sendRaw({ port }, text)).status;
    expect(await statusOf('GET /v2/ HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n')).toBe(400);
    expect(await statusOf('GET /v2/ HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc')).toBe(400);
    expect(
      await statusOf('GET /v2/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'),
    ).toBe(400);
    expect(await statusOf(`GET /v2/ HTTP/1.1\r\nHost: a\r\nX: ${'x'.repeat(70_000)}\r\n\r\n`)).toBe(431);
    expect(await statusOf(`GET /v2/ HTTP/1.1\r\nHost: a\r\nX: ${'x'.repeat(60_000)}\r\n\r\n`)).toBe(200);
    expect(await statusOf('nonsense\r\n\r\n')).toBe(400);
    expect(await statusOf('OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n')).toBe(405);
    expect(await statusOf('GET /v2/ HTTP/1.0\r\n\r\n')).toBe(200);
    const two = 'GET /v2/ HTTP/1.1\r\nHost: a\r\n\r\nGET /v2/library/none HTTP/1.1\r\nHost: a\r\n\r\n';
    expect(await statusOf(two)).toBe(200);
  });

  testInCampaigns('count connections over all of them', async () => {
    const { entrepot } = await start({ connectionsPerClient: 4 });
    const agent = new Agent({ keepAlive: true, maxSockets: 20 });
    const asked = Array.from({ length: 6 }, async () => ask(`${entrepot.url}/v2/`, { agent }));
    const answers = await Promise.all(asked);
    expect(answers.filter((answer) => answer?.status === 200)).toHaveLength(4);
    expect(await entrepot.metric('entrepot_connections_refused_total')).toBe(2);
    agent.destroy();
    // Whoever has left makes room.
    await expect
      .poll(async () => (await get(`${entrepot.url}/v2/`).catch(() => undefined))?.status)
      .toBe(200);
  });

  test('speak TLS, and show a new certificate after a reload', async () => {
    const dir = await tempDir();
    const tls = { cert: join(dir, 'tls.pem'), key: join(dir, 'tls-key.pem') };
    await writeFile(tls.cert, serverCertificate.cert);
    await writeFile(tls.key, serverCertificate.key);
    const setting = await start({ tls });
    const { registry, entrepot } = setting;
    const digest = registry.addBlob('library/app', { size: 4 * MIB, seed: 10 });
    for (const outcome of ['MISS', 'HIT']) {
      const pull = await get(blobUrl(entrepot, digest), { ca, digestOnly: true });
      expect(pull).toMatchObject({ complete: true, digest, headers: { 'x-cache': outcome } });
      await expect.poll(async () => entrepot.metric('entrepot_fills_in_flight')).toBe(0);
    }
    const port = Number(new URL(entrepot.url).port);
    expect((await sendRaw({ port }, 'GET / HTTP/1.1\r\n\r\n')).status).toBe(400);
    const { cert } = selfSignedCertificate;
    await writeFile(tls.cert, cert);
    await writeFile(tls.key, selfSignedCertificate.key);
    entrepot.signal('SIGHUP');
    const shows = async () =>
      get(`${entrepot.url}/v2/`, { ca: cert }).then(
        ({ status }) => status,
        () => undefined,
      );
    // By both of them.
    await expect.poll(async () => Promise.all([shows(), shows()])).toEqual([200, 200]);
  });

  testInCampaigns(
    'let pulls in flight end after SIGTERM, carried or relayed, and take nobody new',
    async () => {
      const setting = await start();
      const { registry, entrepot } = setting;
      const warm = await stored(setting, 8 * MIB, 11);
      const cold = registry.addBlob('library/app', { size: 8 * MIB, seed: 12 });
      const rest = new Gate();
      registry.faults.add({
        match: { path: new RegExp(cold) },
        action: { stallAfter: { bytes: 2 * MIB, gate: rest } },
      });
      const options = { digestOnly: true, pauseAfter: { bytes: MIB, gate: rest } };
      const pulls = await Promise.all(
        [warm, cold].map(async (digest) => openGet(blobUrl(entrepot, digest), options)),
      );
      await Promise.all(pulls.map(async (pull) => pull.read(1024)));
      entrepot.signal('SIGTERM');
      await entrepot.logged('stopping: pulls in flight may end');
      await expect
        .poll(
          async () =>
            get(`${entrepot.url}/v2/`).then(
              () => 'answered',
              ({ code }: NodeJS.ErrnoException) => code,
            ),
          SOON,
        )
        .toBe('ECONNREFUSED');
      rest.open();
      const [first, second] = await Promise.all(pulls.map(async (pull) => pull.finished()));
      expect(first).toMatchObject({ complete: true, digest: warm });
      expect(second).toMatchObject({ complete: true, digest: cold });
      expect(await entrepot.ended).toEqual({ code: 0, signal: null });
      expect(blobLines(entrepot).filter(({ incomplete }) => incomplete === true)).toEqual([]);
      expect((await readdir(entrepot.dataDir)).filter((name) => name.startsWith('fronts-'))).toEqual([]);
    },
  );

  testInCampaigns('are ended at once by a second signal', async () => {
    const setting = await start({ shutdownGrace: '1m' });
    const digest = await stored(setting, 32 * MIB, 13);
    const { entrepot } = setting;
    const pull = await openGet(blobUrl(entrepot, digest), {
      digestOnly: true,
      pauseAfter: { bytes: MIB, gate: new Gate() },
    });
    await pull.read(1024);
    entrepot.signal('SIGTERM');
    await entrepot.logged('stopping: pulls in flight may end');
    entrepot.signal('SIGTERM');
    expect(await entrepot.ended).toMatchObject({ code: 143 });
    pull.destroy();
  });
});
