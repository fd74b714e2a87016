import { describe, expect, it } from 'vitest';
import { closeAfterTest } from '../support/close-after-test.ts';
import { sourceBytes } from '../support/byte-source.ts';
import { FakeRegistry } from '../support/fake-registry.ts';
import { Gate } from '../support/gate.ts';
import { generatedBlob } from '../support/generated-blob.ts';
import { get, type GetResult, openGet } from '../support/http-get.ts';
import { partsOf } from '../support/multipart-parts.ts';
import { startApp } from '../support/running-app.ts';

/**
 * What lazy-pulling clients send, and what they give up at: the protocol document, §5. That they are answered without
 * waiting for the rest of the blob is shown by upstream bodies that stop, not by the clock.
 */

const KIB = 1024;
const MIB = 1024 * KIB;
/**
 * nydus gives up after five seconds, and does not try again. More than that, for a busy machine's sake, and less than what
 * it must not wait for takes anywhere: a quarter of a minute, or for ever.
 */
const NYDUS_LIMIT_MS = 12_000;

/** Probes, token replies, and what had been received already of a transfer that was cut short by a jump. */
const OTHER_BYTES_LIMIT = 4 * MIB;

/** Start and end (exclusive). */
type Stretch = readonly [number, number];

interface LazyPull {
  readonly registry: FakeRegistry;
  /** Where blobs come from. */
  readonly storage: FakeRegistry;
  readonly url: string;
  readonly bytes: Buffer;
  readonly ask: (range: string, signal?: AbortSignal) => Promise<GetResult>;
  readonly head: () => Promise<GetResult>;
  /** One stretch is asked for, and comes as it should. */
  readonly expectStretch: (stretch: Stretch, signal?: AbortSignal) => Promise<void>;
  /** All bytes that came from the upstream. */
  readonly upstreamBytes: () => Promise<number>;
  /** Resolves when the whole blob is answered from the cache. */
  readonly stored: () => Promise<void>;
  /** No byte of the blob came twice, but for probes. */
  readonly expectOnce: () => Promise<void>;
}

/** A blob behind an upstream that wants tokens and redirects to a storage back end, as public registries do. */
async function start(size: number, seed: number): Promise<LazyPull> {
  const storage = closeAfterTest(await FakeRegistry.start({ hostname: '127.0.0.2' }));
  const registry = closeAfterTest(
    await FakeRegistry.start({
      content: storage.content,
      auth: { mode: 'bearer' },
      redirect: ({ path, method }) => {
        const digest = /\/blobs\/(.+)$/.exec(path)?.[1];
        return digest === undefined || method === 'HEAD' ? undefined : storage.cdnUrl(digest);
      },
    }),
  );
  const app = await startApp({
    upstreams: [{ name: 'docker.io', url: registry.url, trustedHosts: [storage.host] }],
    cache: { finishFillBytes: 256 * MIB },
  });
  const recipe = { size, seed };
  const digest = registry.addBlob('library/app', recipe);
  const url = `${app.url}/v2/library/app/blobs/${digest}`;
  const bytes = sourceBytes(generatedBlob(recipe));
  const ask = async (range: string, signal?: AbortSignal): Promise<GetResult> => {
    // What stargz sends beside it; others send nothing.
    const headers = { range, 'accept-encoding': 'identity' };
    return get(url, { headers, ...(signal && { signal }) });
  };
  const upstreamBytes = async (): Promise<number> => {
    const metrics = (await get(`${app.adminUrl}/metrics`)).body.toString();
    return Number(/^entrepot_upstream_bytes_total\{[^}]*\} (\d+)$/m.exec(metrics)?.[1]);
  };
  return {
    registry,
    storage,
    url,
    bytes,
    ask,
    head: async () => get(url, { method: 'HEAD' }),
    expectStretch: async ([first, end], signal) => {
      const result = await ask(`bytes=${first}-${end - 1}`, signal);
      expect(result).toMatchObject({ status: 206, complete: true, length: end - first });
      expect(result.headers).toMatchObject({
        'accept-ranges': 'bytes',
        'content-range': `bytes ${first}-${end - 1}/${size}`,
      });
      expect(result.headers.location).toBeUndefined();
      expect(result.body.equals(bytes.subarray(first, end))).toBe(true);
    },
    upstreamBytes,
    expectOnce: async () => {
      const came = await upstreamBytes();
      expect(came).toBeGreaterThanOrEqual(size);
      expect(came).toBeLessThan(size + OTHER_BYTES_LIMIT);
    },
    stored: async () => {
      await expect
        .poll(async () => (await get(url, { digestOnly: true })).headers['x-cache'], { interval: 20 })
        .toBe('HIT');
    },
  };
}

/** From now on each upstream body of the blob stops after so many bytes, until the gate opens. */
function stopBodies(storage: FakeRegistry, afterBytes: number): Gate {
  const gate = new Gate();
  storage.faults.add({ match: { path: /^\/cdn\// }, action: { stallAfter: { bytes: afterBytes, gate } } });
  return gate;
}

function rangeHeader(stretches: readonly Stretch[]): string {
  return `bytes=${stretches.map(([first, end]) => `${first}-${end - 1}`).join(',')}`;
}

/** Small stretches that do not touch. */
function scattered(count: number, { step, length }: { readonly step: number; readonly length: number }) {
  return Array.from({ length: count }, (_, at): Stretch => [at * step, at * step + length]);
}

function expectParts(result: GetResult, bytes: Buffer, stretches: readonly Stretch[]): void {
  expect(result).toMatchObject({ status: 206, complete: true });
  const parts = partsOf(result);
  expect(parts).toHaveLength(stretches.length);
  for (const [at, [first, end]] of stretches.entries()) {
    expect(parts[at]?.range).toBe(`bytes ${first}-${end - 1}/${bytes.length}`);
    expect(parts[at]?.bytes.equals(bytes.subarray(first, end))).toBe(true);
  }
}

describe('stargz', () => {
  it('probes with two bytes again and again, and nothing is downloaded for it', async () => {
    const { storage, ask, head, bytes } = await start(32 * MIB, 1);
    for (let round = 1; round <= 3; round += 1) {
      const probe = await ask('bytes=0-1');
      expect(probe).toMatchObject({ status: 206, length: 2 });
      expect(probe.body.equals(bytes.subarray(0, 2))).toBe(true);
      expect(probe.headers['content-range']).toBe(`bytes 0-1/${bytes.length}`);
      expect(storage.blobBodyBytes()).toBe(2 * round);
    }
    const described = await head();
    expect(described.headers).toMatchObject({
      'content-length': String(bytes.length),
      'accept-ranges': 'bytes',
    });
    expect(storage.blobBodyBytes()).toBe(6);
  });

  it('reads footer, table of contents and chunks of a cold layer before the upstream has sent the rest', async () => {
    const { storage, ask, expectStretch, upstreamBytes, expectOnce, stored, bytes } = await start(
      32 * MIB,
      2,
    );
    const gate = stopBodies(storage, 2 * MIB);
    const { length } = bytes;
    await expectStretch([length - 51, length]);
    expect(storage.blobBodyBytes()).toBe(51);
    await expectStretch([length - 200 * KIB, length]);
    await expectStretch([10 * MIB, 10 * MIB + 50_000]);
    // Too many at once for a cold blob: from then on it asks for one range that covers them.
    const wanted = scattered(1200, { step: 1000, length: 100 });
    expect((await ask(rangeHeader(wanted))).status).toBe(400);
    await expectStretch([0, 1_200_000]);
    expect(await upstreamBytes()).toBeLessThan(length);
    gate.open();
    await stored();
    await expectOnce();
    expectParts(await ask(rangeHeader(wanted)), bytes, wanted);
  });
});

describe('podman with zstd:chunked', () => {
  it('asks for half as many ranges after each 400, and gets them all, byte for byte', async () => {
    const { ask, bytes } = await start(16 * MIB, 3);
    const wanted = scattered(1024, { step: 16 * KIB, length: 3000 });
    let batch = wanted.length;
    const statuses: number[] = [];
    for (let at = 0; at < wanted.length;) {
      const stretches = wanted.slice(at, at + batch);
      const result = await ask(rangeHeader(stretches));
      statuses.push(result.status);
      if (result.status === 400 && batch > 1) {
        batch = Math.floor(batch / 2);
      } else {
        expectParts(result, bytes, stretches);
        at += batch;
      }
    }
    // Anything but 206 and 400 is fatal to it.
    expect(new Set(statuses)).toEqual(new Set([400, 206]));
    expect(statuses.filter((status) => status === 400)).toHaveLength(6);
  });

  it('gets 1024 ranges of a stored layer in one answer', async () => {
    const { ask, bytes, stored } = await start(16 * MIB, 4);
    await stored();
    const wanted = scattered(1024, { step: 16 * KIB, length: 3000 });
    expectParts(await ask(rangeHeader(wanted)), bytes, wanted);
  });
});

describe('nydus', () => {
  it('prefetches with eight requests at once, each answered before the upstream has sent the rest', async () => {
    const { storage, head, ask, expectStretch, upstreamBytes, expectOnce, stored, bytes } = await start(
      48 * MIB,
      5,
    );
    expect((await head()).headers['content-length']).toBe(String(bytes.length));
    const gate = stopBodies(storage, 2 * MIB);
    const starts = [1, 7, 13, 19, 25, 31, 37, 43].map((mebibytes) => mebibytes * MIB);
    await Promise.all(
      starts.map((first) => expectStretch([first, first + MIB], AbortSignal.timeout(NYDUS_LIMIT_MS))),
    );
    expect(await upstreamBytes()).toBeLessThan(bytes.length);
    gate.open();
    const rest = await ask(`bytes=${47 * MIB}-`);
    expect(rest.body.equals(bytes.subarray(47 * MIB))).toBe(true);
    await stored();
    await expectOnce();
    await expectStretch([20 * MIB, 21 * MIB], AbortSignal.timeout(NYDUS_LIMIT_MS));
  });

  it('does not wait for a transfer that is only some mebibytes behind what it asks for', async () => {
    const { storage, expectStretch } = await start(32 * MIB, 10);
    const gate = stopBodies(storage, 3 * MIB);
    await expectStretch([0, MIB]);
    await expectStretch([7 * MIB, 8 * MIB], AbortSignal.timeout(NYDUS_LIMIT_MS));
    gate.open();
  });

  it('is answered in its five seconds by an upstream that needs minutes for the whole', async () => {
    const { storage, expectStretch, upstreamBytes } = await start(64 * MIB, 6);
    // 1 MiB takes a quarter of a second for itself; the whole more than a quarter of a minute.
    storage.faults.add({ match: { path: /^\/cdn\// }, action: { bytesPerSecond: 4 * MIB } });
    const places = [40 * MIB, 8 * MIB, 60 * MIB];
    await Promise.all(
      places.map((first) => expectStretch([first, first + MIB], AbortSignal.timeout(NYDUS_LIMIT_MS))),
    );
    expect(await upstreamBytes()).toBeLessThan(48 * MIB);
  });
});

describe('SOCI', () => {
  it('pulls in parallel chunks, for which the upstream sends each byte once', async () => {
    const { head, expectStretch, expectOnce, stored, bytes } = await start(32 * MIB + 5, 7);
    for (const temperature of ['cold', 'warm']) {
      const { headers } = await head();
      // Without Accept-Ranges it gives up.
      expect(headers, temperature).toMatchObject({
        'accept-ranges': 'bytes',
        'content-length': String(bytes.length),
      });
      const chunks = [0, 8, 16, 24, 32].map((mebibytes) => mebibytes * MIB);
      await Promise.all(
        chunks.map((first) => expectStretch([first, Math.min(first + 8 * MIB, bytes.length)])),
      );
      await stored();
      await expectOnce();
    }
  });

  it('reads 4 MiB spans of a layer that somebody else pulls whole, and neither waits for the other', async () => {
    const { storage, url, expectStretch, upstreamBytes, expectOnce, bytes } = await start(32 * MIB, 8);
    const gate = stopBodies(storage, 5 * MIB);
    const whole = await openGet(url, { digestOnly: true });
    await whole.read(4 * MIB);
    await expectStretch([0, 4 * MIB]);
    await expectStretch([20 * MIB, 24 * MIB]);
    expect(await upstreamBytes()).toBeLessThan(bytes.length);
    gate.open();
    expect(await whole.finished()).toMatchObject({ status: 200, complete: true, length: bytes.length });
    await expectOnce();
  });
});

it('a lazy client does not notice that the upstream takes our token no more', async () => {
  const { registry, expectStretch } = await start(16 * MIB, 9);
  await expectStretch([0, 100]);
  registry.auth.revoke();
  await expectStretch([8 * MIB, 8 * MIB + 100]);
  registry.auth.revoke();
  await expectStretch([9 * MIB, 10 * MIB]);
  expect(registry.tokenRequests).toBeGreaterThan(2);
});
