import { type ImagePattern, parseImagePattern } from './oci/image-pattern.ts';
import type { Problems } from './config-problem.ts';
import type { UpstreamConfig } from './config-upstream.ts';

/** What `cache.pins` says, in full. */
export function pinsFrom(
  written: readonly string[],
  upstreams: readonly UpstreamConfig[],
  problems: Problems,
): readonly ImagePattern[] {
  return written.flatMap((text, at) => {
    const pattern = parseImagePattern(text, upstreams);
    if (!('problem' in pattern)) return [pattern];
    problems.add(['cache', 'pins', String(at)], pattern.problem, text);
    return [];
  });
}
