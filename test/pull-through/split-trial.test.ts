import { describe, expect, it } from 'vitest';
import { SPLIT_TICK_MS, SplitTrial } from '../../src/pull-through/split-trial.ts';

const MIB = 1024 * 1024;

/** Lets a blob come in at a rate that depends on how many transfers bring it. */
function run(
  rateOf: (count: number) => number,
  {
    sizeBytes = 1024 * MIB,
    limit = 6,
    known,
    busyShare = 0.3,
    heldBackShare = 0,
  }: { sizeBytes?: number; limit?: number; known?: number; busyShare?: number; heldBackShare?: number } = {},
) {
  const settled: number[] = [];
  const counts = new Set<number>();
  const trial = new SplitTrial({ limit: () => limit, known, onSettled: (count) => settled.push(count) });
  let presentBytes = 0;
  let atMs = 0;
  while (presentBytes < sizeBytes && atMs < 600_000) {
    trial.tick({ atMs, busyMs: atMs * busyShare, heldBackMs: atMs * heldBackShare, presentBytes, sizeBytes });
    counts.add(trial.count);
    presentBytes += (rateOf(trial.count) * SPLIT_TICK_MS) / 1000;
    atMs += SPLIT_TICK_MS;
  }
  return { settled, counts: [...counts], windowBytes: trial.windowBytes, count: trial.count, atMs };
}

describe('how many transfers one blob comes in', () => {
  it('grows up to the limit where each has a rate of its own', () => {
    const { counts, settled, atMs } = run((count) => count * 20 * MIB);
    expect(counts).toEqual([1, 2, 4, 6]);
    expect(settled).toEqual([6]);
    // One alone takes 51 s.
    expect(atMs).toBeLessThan(17_000);
  });

  it('goes back to one where several share the same line', () => {
    const { counts, count, settled } = run(() => 20 * MIB);
    expect(counts).toEqual([1, 2]);
    expect(count).toBe(1);
    expect(settled).toEqual([1]);
  });

  it('goes back to what helped, where more does not', () => {
    const { counts, count } = run((running) => Math.min(running * 20, 50) * MIB);
    expect(counts).toEqual([1, 2, 4, 6]);
    expect(count).toBe(4);
  });

  it('stays one on a fast line, and for what is nearly here', () => {
    expect(run(() => 500 * MIB).counts).toEqual([1]);
    expect(run(() => 20 * MIB, { sizeBytes: 70 * MIB }).counts).toEqual([1]);
  });

  it('stays one for what comes at once and then stands still', () => {
    const trial = new SplitTrial({ limit: () => 6, known: undefined, onSettled: () => undefined });
    for (let atMs = 0; atMs < 10_000; atMs += SPLIT_TICK_MS)
      trial.tick({
        atMs,
        busyMs: 0,
        heldBackMs: 0,
        presentBytes: Math.min(atMs * 5_000, 4 * MIB),
        sizeBytes: 100 * MIB,
      });
    expect(trial.count).toBe(1);
  });

  it('stays one where this process is what is slow, and not the line', () => {
    expect(run((count) => count * 20 * MIB, { busyShare: 0.95 }).counts).toEqual([1]);
  });

  it('is not judged while a limit of ours on bandwidth is what is slow', () => {
    expect(run(() => 10 * MIB, { heldBackShare: 0.6 })).toMatchObject({ counts: [1], settled: [] });
  });

  it('stays one for an upstream that stands still', () => {
    expect(run(() => 1024, { sizeBytes: 100 * MIB }).counts).toEqual([1]);
  });

  it('is at once what turned out best before', () => {
    const { counts, settled } = run((count) => count * 20 * MIB, { known: 6 });
    expect(counts).toEqual([1, 6]);
    expect(settled).toEqual([]);
    expect(run((count) => count * 20 * MIB, { known: 1 })).toMatchObject({ counts: [1], settled: [] });
  });

  it('never exceeds a limit that is lower than what was known', () => {
    expect(run((count) => count * 20 * MIB, { known: 6, limit: 3 }).counts).toEqual([1, 3]);
  });

  it('has windows of some seconds, within bounds', () => {
    expect(run((count) => count * 10 * MIB).windowBytes).toBe(30 * MIB);
    expect(run((count) => count * MIB, { sizeBytes: 100 * MIB }).windowBytes).toBe(8 * MIB);
    expect(run((count) => count * 60 * MIB, { sizeBytes: 4096 * MIB }).windowBytes).toBe(64 * MIB);
  });
});
