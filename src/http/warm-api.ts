import { z } from 'zod';
import { StoreOperationError } from '../cache/store-operation-error.ts';
import { parsePlatform } from '../oci/platform.ts';
import { parseReference, parseRepositoryName } from '../oci/reference.ts';
import {
  CONCURRENCY_LIMIT,
  TARGET_LIMIT,
  type WarmOperations,
  type WarmRequest,
  type WarmTarget,
} from '../warm/warm-operations.ts';
import { warmEvent, warmJob } from '../warm/warm-events.ts';
import type { WarmJobOperations } from '../warm/warm-jobs.ts';
import { digestName, flag, repositoryName, tagName, upstreamName } from './api-input.ts';
import { tooLarge } from './api-problem.ts';
import { limitedBody } from './limited-body.ts';
import { type Api, addRoute, addStreamRoute, named, newApi, type Stream } from './api-routes.ts';

/** `TARGET_LIMIT` images with names as people give them. */
const BODY_BYTES_LIMIT = 4 * 1024 * 1024;
const PLATFORM_LIMIT = 100;

const limited = limitedBody(BODY_BYTES_LIMIT, () => tooLarge(BODY_BYTES_LIMIT));
const tagsError = 'accepted is a semver range or a regular expression';
const platform = z
  .string({ error: 'accepted is OS/ARCHITECTURE[/VARIANT]' })
  .transform((written, context) => {
    const read = parsePlatform(written);
    if (!('problem' in read)) return read;
    context.addIssue({ code: 'custom', message: read.problem });
    return z.NEVER;
  });
const target = z
  .strictObject({
    upstream: upstreamName,
    repository: repositoryName,
    tag: tagName.optional(),
    digest: digestName.optional(),
    tags: z
      .string({ error: tagsError })
      .min(1, { error: tagsError })
      .max(1024, { error: tagsError })
      .optional(),
    place: z.string().max(1024).optional(),
  })
  .transform(({ repository, tag, digest, tags, ...rest }, context): WarmTarget => {
    const of = { ...rest, repository: parseRepositoryName(repository) };
    const said = [tag, digest, tags].filter((value) => value !== undefined);
    if (said.length === 1)
      return tags === undefined ? { ...of, reference: parseReference(digest ?? tag ?? '') } : { ...of, tags };
    context.addIssue({ code: 'custom', message: 'accepted is one of tag, digest and tags' });
    return z.NEVER;
  });
const targetsError = `accepted is a list of 1 to ${TARGET_LIMIT} images`;
const concurrencyError = `accepted is 1 to ${CONCURRENCY_LIMIT}`;
const warmed = z.strictObject({
  targets: z
    .array(target, { error: targetsError })
    .min(1, { error: targetsError })
    .max(TARGET_LIMIT, { error: targetsError }),
  platforms: z.array(platform).max(PLATFORM_LIMIT).prefault([]),
  withReferrers: flag,
  dryRun: flag,
  concurrency: z
    .int({ error: concurrencyError })
    .min(1, { error: concurrencyError })
    .max(CONCURRENCY_LIMIT, { error: concurrencyError })
    .optional(),
});

const jobOfTargets = warmed.partial({ targets: true }).extend({
  images: z
    .array(z.string().min(1).max(1024), { error: targetsError })
    .min(1, { error: targetsError })
    .max(TARGET_LIMIT, { error: targetsError })
    .optional()
    .describe('as `docker pull` takes them, in place of `targets`'),
});
const job = named('WarmJob', warmJob);
const jobId = z.strictObject({
  id: z.string().regex(/^[0-9a-f]{16}$/, { error: 'accepted are 16 hexadecimal digits' }),
});

export interface WarmApiParts {
  readonly warming: WarmOperations;
  readonly jobs: WarmJobOperations;
  readonly stream: Stream;
}

/** Warming, for the command, the page and scripts: part of the admin API, behind its guards. */
export function warmApi({ warming, jobs, stream }: WarmApiParts): Api {
  const api = newApi();
  addStreamRoute(
    api,
    {
      method: 'post',
      path: '/warm',
      tag: 'warm',
      summary: 'Fetch images into the cache',
      description: 'It ends when nobody reads the answer any more; what was fetched is kept.',
      body: warmed,
      event: named('WarmEvent', warmEvent),
      middleware: limited,
    },
    stream,
    ({ body }) => {
      const request: WarmRequest = body;
      return (signal) => warming.warm(request, signal);
    },
  );
  addJobRoutes(api, jobs);
  return api;
}

function addJobRoutes(api: Api, jobs: WarmJobOperations): void {
  const tag = 'warm';
  addRoute(
    api,
    {
      method: 'get',
      path: '/warm/jobs',
      tag,
      summary: 'Runs of warming: those that go on, and those that ended last',
      answer: z.object({ jobs: z.array(job) }),
    },
    () => ({ jobs: [...jobs.jobs()] }),
  );
  addRoute(
    api,
    {
      method: 'post',
      path: '/warm/jobs',
      tag,
      summary: 'Begin to fetch images into the cache, and do not wait for it',
      body: jobOfTargets,
      answer: job,
      middleware: limited,
    },
    ({ body: { images, targets, ...rest } }) => {
      if ((images === undefined) === (targets === undefined))
        throw new StoreOperationError('invalid', 'the body: accepted is either images or targets');
      return jobs.start({ ...rest, targets: targets ?? jobs.targets(images ?? []) });
    },
  );
  addRoute(
    api,
    {
      method: 'get',
      path: '/warm/jobs/{id}',
      tag,
      summary: 'How far a run of warming is',
      params: jobId,
      answer: job,
    },
    ({ params: { id } }) => jobs.job(id),
  );
  addRoute(
    api,
    {
      method: 'post',
      path: '/warm/jobs/{id}/cancel',
      tag,
      summary: 'End a run of warming; what it stored is kept',
      params: jobId,
      answer: job,
    },
    ({ params: { id } }) => jobs.cancel(id),
  );
}
