import { type Context, Hono } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import { z } from 'zod';
import { StoreOperationError } from '../cache/store-operation-error.ts';
import { digestFrom } from '../oci/digest.ts';
import { parsePlatform } from '../oci/platform.ts';
import { isRepositoryName, isTag, parseReference, parseRepositoryName } from '../oci/reference.ts';
import {
  CONCURRENCY_LIMIT,
  TARGET_LIMIT,
  type WarmOperations,
  type WarmRequest,
  type WarmTarget,
} from '../warm/warm-operations.ts';
import { bodyOf, parsed } from './api-input.ts';

/** `TARGET_LIMIT` images with names as people give them. */
const BODY_BYTES_LIMIT = 4 * 1024 * 1024;
const PLATFORM_LIMIT = 100;

const text = (accepted: string, isOne: (value: string) => boolean) =>
  z.string({ error: `accepted is ${accepted}` }).refine(isOne, { error: `accepted is ${accepted}` });
const flag = z.boolean({ error: 'accepted is true or false' }).prefault(false);
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
    upstream: text('the name of an upstream', (value) => /^[^/\s]{1,255}$/.test(value)),
    repository: text('the name of a repository, in full', isRepositoryName),
    tag: text('a tag', isTag).optional(),
    digest: text('sha256: or sha512: and lower-case hexadecimal digits', isDigest).optional(),
    tags: text(
      'a semver range or a regular expression',
      (value) => value !== '' && value.length <= 1024,
    ).optional(),
    place: z.string().max(1024).optional(),
  })
  .transform(({ repository, tag, digest, tags, ...rest }, context): WarmTarget => {
    const named = { ...rest, repository: parseRepositoryName(repository) };
    const said = [tag, digest, tags].filter((value) => value !== undefined);
    if (said.length === 1)
      return tags === undefined
        ? { ...named, reference: parseReference(digest ?? tag ?? '') }
        : { ...named, tags };
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

export interface WarmApiParts {
  readonly warming: WarmOperations;
  /** Answers with what is told, as it is told. */
  readonly stream: <T>(c: Context, steps: (signal: AbortSignal) => AsyncIterable<T>) => Promise<Response>;
}

/** Warming, for the command and for scripts: part of the admin API, behind its guards. */
export function warmApi({ warming, stream }: WarmApiParts): Hono {
  const app = new Hono();
  app.post(
    '/warm',
    bodyLimit({
      maxSize: BODY_BYTES_LIMIT,
      onError: () => {
        throw new StoreOperationError('invalid', `the body: accepted are ${BODY_BYTES_LIMIT} bytes at most`);
      },
    }),
    async (c) => {
      const request: WarmRequest = parsed(warmed, await bodyOf(c));
      return stream(c, (signal) => warming.warm(request, signal));
    },
  );
  return app;
}

function isDigest(value: string): boolean {
  return digestFrom(value) !== undefined;
}
