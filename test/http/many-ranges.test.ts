import { expect, it } from 'vitest';
import { sourceBytes } from '../support/byte-source.ts';
import { closeAfterTest } from '../support/close-after-test.ts';
import { FakeRegistry } from '../support/fake-registry.ts';
import { Gate } from '../support/gate.ts';
import { generatedBlob } from '../support/generated-blob.ts';
import { get, openGet } from '../support/http-get.ts';
import { startApp } from '../support/running-app.ts';

const KIB = 1024;
const MIB = 1024 * KIB;

interface Ranges {
  readonly blobBytes: number;
  readonly rangeBytes: number;
  readonly stepBytes: number;
  readonly count: number;
  /** So many are under way at the upstream when its bodies go on. */
  readonly atOnce: number;
}

/** Asks for all of them at the same time; the upstream's bodies stop until as many as should have begun. */
async function askAtOnce(cacheBytes: number, ranges: Ranges): Promise<void> {
  const registry = closeAfterTest(await FakeRegistry.start());
  const app = await startApp({
    upstreams: [{ name: 'docker.io', url: registry.url }],
    cache: { maxSize: { bytes: cacheBytes } },
  });
  const recipe = { size: ranges.blobBytes, seed: 1 };
  const digest = registry.addBlob('library/app', recipe);
  const bytes = sourceBytes(generatedBlob(recipe));
  const url = `${app.url}/v2/library/app/blobs/${digest}`;
  const gate = new Gate();
  registry.faults.add({ match: { method: 'GET' }, action: { stallAfter: { bytes: 1, gate } } });
  const asked = Array.from({ length: ranges.count }, async (_, at) => {
    const first = at * ranges.stepBytes;
    const end = first + ranges.rangeBytes;
    const result = await get(url, { headers: { range: `bytes=${first}-${end - 1}` } });
    return { ...result, isRight: result.body.equals(bytes.subarray(first, end)) };
  });
  await gate.arrived(ranges.atOnce);
  gate.open();
  const results = await Promise.all(asked);
  expect(new Set(results.map(({ status, isRight }) => `${status} ${isRight}`))).toEqual(
    new Set(['206 true']),
  );
  expect(gate.arrivals).toBe(ranges.count);
}

it('64 probes of a cold blob at once are all answered, not only as many as whole windows fit into memory', async () => {
  await askAtOnce(1024 * MIB, {
    blobBytes: 4 * MIB,
    rangeBytes: 2001,
    stepBytes: 29_900,
    count: 64,
    atOnce: 64,
  });
});

it('large ranges of a blob that can never be stored wait for their turn when memory is short', async () => {
  await askAtOnce(MIB, {
    blobBytes: 8 * MIB,
    rangeBytes: 3 * MIB,
    stepBytes: 64 * KIB,
    count: 40,
    atOnce: 32,
  });
});

it('clients that take their time with what cannot be stored keep no slab from the others', async () => {
  const registry = closeAfterTest(await FakeRegistry.start());
  const app = await startApp({
    upstreams: [{ name: 'docker.io', url: registry.url }],
    cache: { maxSize: { bytes: MIB } },
  });
  const urlOf = (size: number, seed: number) =>
    `${app.url}/v2/library/app/blobs/${registry.addBlob('library/app', { size, seed })}`;
  const gate = new Gate();
  const large = urlOf(32 * MIB, 2);
  const slow = await Promise.all(
    Array.from({ length: 20 }, async () =>
      openGet(large, {
        headers: { range: `bytes=0-${32 * MIB - 1}` },
        digestOnly: true,
        pauseAfter: { bytes: 1, gate },
      }),
    ),
  );
  await gate.arrived(slow.length);
  // Until the kernel takes no more for them either.
  let came = -1;
  await expect
    .poll(
      () => {
        const before = came;
        came = registry.blobBodyBytes();
        return came > 0 && came === before;
      },
      { interval: 300 },
    )
    .toBe(true);
  expect(came).toBeLessThan(slow.length * 32 * MIB);
  const others = await get(urlOf(100_000, 3), { signal: AbortSignal.timeout(15_000) });
  expect(others).toMatchObject({ status: 200, complete: true, length: 100_000 });
  for (const response of slow) response.destroy();
});
