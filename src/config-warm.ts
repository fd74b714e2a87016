import { resolve } from 'node:path';
import type { z } from 'zod';
import type { warmSchema } from './config-schema-warm.ts';
import type { Surroundings } from './config-secret.ts';
import type { UpstreamConfig } from './config-upstream.ts';
import { type ImageName, parseImageName } from './oci/image-reference.ts';
import type { Platform } from './oci/platform.ts';

/** What is fetched before anybody asks, and when. */
export interface WarmSchedule {
  /** Unique. */
  readonly name: string;
  /** As parseCron reads it. */
  readonly cron: string;
  /** Absent: the machine's own. */
  readonly timezone?: string | undefined;
  readonly images: readonly ImageName[];
  /** Absolute paths of files and directories that name images. One that is missing is a failed run. */
  readonly from: readonly string[];
  /** Empty: all. */
  readonly platforms: readonly Platform[];
  /** As parseTagSelection reads it: which tags of what is named without one. Absent: `latest`. */
  readonly tags?: string | undefined;
  readonly withReferrers: boolean;
  /** Absent: as warming has it. */
  readonly concurrency?: number | undefined;
}

/** What `warm` says. */
export function schedulesFrom(
  written: z.output<typeof warmSchema>,
  upstreams: readonly UpstreamConfig[],
  { problems, baseDir }: Pick<Surroundings, 'problems' | 'baseDir'>,
): readonly WarmSchedule[] {
  const names = new Set<string>();
  return written.map(({ images, from, timezone, tags, concurrency, ...schedule }, at) => {
    const path = ['warm', String(at)];
    const { name } = schedule;
    if (names.has(name)) problems.add([...path, 'name'], 'is the name of another schedule already', name);
    names.add(name);
    if (images.length === 0 && from.length === 0)
      problems.add(path, 'it names nothing: images or from is needed');
    const dash = from.indexOf('-');
    if (dash !== -1) problems.add([...path, 'from', String(dash)], 'a server has no standard input', '-');
    return {
      ...schedule,
      from: from.map((file) => resolve(baseDir, file)),
      images: images.flatMap((text, nth) => {
        const image = parseImageName(text, upstreams);
        if (!('problem' in image)) return [image];
        problems.add([...path, 'images', String(nth)], image.problem, text);
        return [];
      }),
      ...(timezone !== undefined && { timezone }),
      ...(tags !== undefined && { tags }),
      ...(concurrency !== undefined && { concurrency }),
    };
  });
}
