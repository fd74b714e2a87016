import { rm } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import type { RepositoryKey } from '../../src/metadata/metadata-store.ts';
import { parseRepositoryName } from '../../src/oci/reference.ts';
import { Gate } from '../support/gate.ts';
import { startPulling } from '../support/pulling.ts';

const MIB = 1024 * 1024;
const BLOBS = /\/blobs\//;
const KEY: RepositoryKey = { upstream: 'docker.io', repository: parseRepositoryName('library/app') };
const never = new AbortController().signal;

describe('filling a blob', () => {
  it('stores it without reading a byte back, and finds it here the next time', async () => {
    const pulling = await startPulling();
    const { pullThrough, registry, fileSystem } = pulling;
    const digest = pulling.add(5 * MIB, 1);
    expect(await pullThrough.heldBlob(KEY, digest)).toBeUndefined();
    expect(await pullThrough.fillBlob(KEY, digest, 5 * MIB, never)).toBe('miss');
    expect(fileSystem.calls.filter(({ name }) => name === 'read')).toEqual([]);
    expect(await pulling.committed()).toEqual([5 * MIB]);
    expect(await pullThrough.heldBlob(KEY, digest)).toBe(5 * MIB);
    expect(await pullThrough.fillBlob(KEY, digest, 5 * MIB, never)).toBe('hit');
    expect(await pulling.pull(digest)).toEqual({ outcome: 'hit', digest });
    expect(registry.blobBodyBytes(digest)).toBe(5 * MIB);
  });

  it('joins what a client began, and a client joins it and has its bytes as they arrive', async () => {
    const pulling = await startPulling();
    const { pullThrough, registry } = pulling;
    const digest = pulling.add(4 * MIB, 1);
    const gate = new Gate();
    registry.faults.add({ match: { path: BLOBS }, action: { stallAfter: { bytes: 2 * MIB, gate } } });
    const first = pullThrough.fillBlob(KEY, digest, 4 * MIB, never);
    await gate.arrived();
    const second = pullThrough.fillBlob(KEY, digest, 4 * MIB, never);
    expect(pullThrough.clientFills('docker.io')).toBe(0);
    const { value, outcome } = await pulling.open(digest);
    expect(outcome).toBe('joined');
    expect(pullThrough.clientFills('docker.io')).toBe(1);
    expect(pullThrough.clientFills('quay.io')).toBe(0);
    const chunk = await value.content?.read(0, MIB, never);
    expect(chunk?.bytes.length).toBeGreaterThan(0);
    chunk?.release();
    await expect.poll(() => pullThrough.fillProgress('docker.io', digest)).toBe(2 * MIB);
    value.content?.close();
    gate.open();
    expect(await Promise.all([first, second])).toEqual(['miss', 'joined']);
    expect(pullThrough.fillProgress('docker.io', digest)).toBeUndefined();
    expect(registry.blobBodyBytes(digest)).toBe(4 * MIB);
  });

  it('goes on when the client that began it leaves', async () => {
    const pulling = await startPulling();
    const { pullThrough, registry } = pulling;
    const digest = pulling.add(8 * MIB, 1);
    const gate = new Gate();
    registry.faults.add({ match: { path: BLOBS }, action: { stallAfter: { bytes: MIB, gate } } });
    const { value } = await pulling.open(digest);
    const filling = pullThrough.fillBlob(KEY, digest, 8 * MIB, never);
    await gate.arrived();
    value.content?.close();
    // Longer than an abandoned fill lingers here.
    await new Promise((resolve) => setTimeout(resolve, 50));
    gate.open();
    expect(await filling).toBe('joined');
    expect(registry.blobBodyBytes(digest)).toBe(8 * MIB);
  });

  it('that nobody waits for any more ends as one does that nobody reads any more', async () => {
    const pulling = await startPulling();
    const { pullThrough, registry } = pulling;
    const digest = pulling.add(8 * MIB, 1);
    const gate = new Gate();
    registry.faults.add({ match: { path: BLOBS }, action: { stallAfter: { bytes: MIB, gate } } });
    const leaving = new AbortController();
    const filling = pullThrough.fillBlob(KEY, digest, 8 * MIB, leaving.signal);
    await gate.arrived();
    leaving.abort(new Error('enough'));
    await expect(filling).rejects.toThrow('enough');
    await expect.poll(() => pullThrough.fillsInFlight).toBe(0);
    expect(await pulling.ingesting()).toEqual([]);
    gate.open();
  });

  it('says so when there is no room, and downloads nothing', async () => {
    const pulling = await startPulling(2 * MIB);
    const { pullThrough, registry } = pulling;
    const digest = pulling.add(3 * MIB, 1);
    expect(await pullThrough.fillBlob(KEY, digest, 3 * MIB, never)).toBe('bypass');
    expect(registry.blobBodyBytes()).toBe(0);
    expect(pullThrough.fillsInFlight).toBe(0);
  });

  it('says so when the disk fails in the middle of it, and ends it', async () => {
    const pulling = await startPulling();
    const { pullThrough, registry, fileSystem } = pulling;
    const digest = pulling.add(8 * MIB, 1);
    const gate = new Gate();
    registry.faults.add({ match: { path: BLOBS }, action: { stallAfter: { bytes: MIB, gate } } });
    const filling = pullThrough.fillBlob(KEY, digest, 8 * MIB, never);
    await gate.arrived();
    fileSystem.rule = (name) => (name === 'write' ? 'ENOSPC' : undefined);
    gate.open();
    expect(await filling).toBe('bypass');
    await expect.poll(() => pullThrough.fillsInFlight).toBe(0);
  });

  it('fetches again what is gone from the disk', async () => {
    const pulling = await startPulling();
    const { pullThrough, registry } = pulling;
    const digest = pulling.add(MIB, 1);
    await pullThrough.fillBlob(KEY, digest, MIB, never);
    await rm(pulling.fileOf(digest));
    expect(await pullThrough.fillBlob(KEY, digest, MIB, never)).toBe('miss');
    expect(registry.blobBodyBytes(digest)).toBe(2 * MIB);
  });

  it('fails with what ended it', async () => {
    const pulling = await startPulling();
    const { pullThrough, registry } = pulling;
    const digest = pulling.add(MIB, 1);
    registry.faults.add({ match: { path: BLOBS }, action: { flipBitAt: 7 } });
    await expect(pullThrough.fillBlob(KEY, digest, MIB, never)).rejects.toMatchObject({ reason: 'corrupt' });
    registry.deleteBlob('library/app', digest);
    await expect(pullThrough.fillBlob(KEY, digest, MIB, never)).rejects.toMatchObject({
      reason: 'not-found',
    });
  });

  it('gives nothing to a repository whose upstream does not say that it holds it', async () => {
    const pulling = await startPulling();
    const { pullThrough, registry } = pulling;
    const digest = pulling.add(MIB, 1);
    registry.addBlob('library/other', { size: 10, seed: 3 });
    await pullThrough.fillBlob(KEY, digest, MIB, never);
    const other = { ...KEY, repository: parseRepositoryName('library/other') };
    await expect(pullThrough.fillBlob(other, digest, MIB, never)).rejects.toMatchObject({
      reason: 'not-found',
    });
    expect(await pullThrough.heldBlob(other, digest)).toBeUndefined();
  });
});
