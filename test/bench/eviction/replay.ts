import type { Trace } from './trace.ts';

/** A cache of so many bytes under one policy. */
export interface SimulatedCache {
  has(item: number): boolean;
  /** Asked for and there. */
  use(item: number, at: number): void;
  /** Asked for and not there: now it is, and what had to go for it is gone. */
  add(item: number, at: number): void;
}

export interface Replay {
  readonly byteHits: number;
  readonly requestHits: number;
  /** Of the pulls that asked for anything: those that needed nothing from the upstream. */
  readonly wholeImageHits: number;
  /** For each 1000 pulls. */
  readonly upstreamManifests: number;
}

/** Shares between 0 and 1, over all of the trace but its first part, in which every cache fills. */
export function replay(trace: Trace, cache: SimulatedCache, warmUp = 0.2): Replay {
  const counts = { bytes: 0, hitBytes: 0, requests: 0, hits: 0, pulls: 0, wholePulls: 0, manifests: 0 };
  const countFrom = trace.pulls.length * warmUp;
  for (const [number, { at, root, requests }] of trace.pulls.entries()) {
    // A HEAD of the tag; what is not stored is not stored by it.
    if (cache.has(root)) cache.use(root, at);
    let whole = true;
    for (const item of requests) {
      const { sizeBytes = 0, kind } = trace.items[item] ?? {};
      const hit = cache.has(item);
      if (hit) cache.use(item, at);
      else cache.add(item, at);
      whole &&= hit;
      if (number < countFrom) continue;
      counts.bytes += sizeBytes;
      counts.requests += 1;
      counts.hitBytes += hit ? sizeBytes : 0;
      counts.hits += hit ? 1 : 0;
      counts.manifests += !hit && (kind === 'manifest' || kind === 'index') ? 1 : 0;
    }
    if (number < countFrom || requests.length === 0) continue;
    counts.pulls += 1;
    counts.wholePulls += whole ? 1 : 0;
  }
  return {
    byteHits: counts.hitBytes / counts.bytes,
    requestHits: counts.hits / counts.requests,
    wholeImageHits: counts.wholePulls / counts.pulls,
    upstreamManifests: (counts.manifests / counts.pulls) * 1000,
  };
}
