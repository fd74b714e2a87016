import type { Context } from 'hono';
import { z } from 'zod';
import { StoreOperationError } from '../cache/store-operation-error.ts';
import { type Digest, digestFrom } from '../oci/digest.ts';
import { isRepositoryName, isTag } from '../oci/reference.ts';
import { bodyTextOf } from './limited-body.ts';

/** Of a request, that are told. */
const FAULTS_LIMIT = 20;

const DIGEST_ERROR = 'accepted is sha256: or sha512: and lower-case hexadecimal digits';

const named = (accepted: string, isOne: (value: string) => boolean) =>
  z
    .string({ error: `accepted is ${accepted}` })
    .refine(isOne, { error: `accepted is ${accepted}` })
    .meta({ description: accepted });

export const upstreamName = named('the name of an upstream', (value) => /^[^/\s]{1,255}$/.test(value));
export const repositoryName = named('the name of a repository, in full', isRepositoryName);
export const tagName = named('a tag', isTag);
/** As text still. */
export const digestName = named(
  'sha256: or sha512: and lower-case hexadecimal digits',
  (value) => digestFrom(value) !== undefined,
);
export const flag = z.boolean({ error: 'accepted is true or false' }).prefault(false);

/** A whole number in a query. */
export function wholeNumber({ least, most }: { readonly least: number; readonly most: number }) {
  const error = `accepted is ${least} to ${most}`;
  return z
    .string({ error })
    .regex(/^\d{1,15}$/, { error })
    .transform(Number)
    .refine((value) => value >= least && value <= most, { error })
    .meta({ type: 'integer', minimum: least, maximum: most, pattern: undefined });
}

/** A digest as text. */
export const digestText = z.string({ error: DIGEST_ERROR }).transform((text, context): Digest => {
  const digest = digestFrom(text);
  if (digest !== undefined) return digest;
  context.addIssue({ code: 'custom', message: DIGEST_ERROR });
  return z.NEVER;
});

/** What came as JSON. @throws StoreOperationError `invalid` */
export async function bodyOf(c: Context): Promise<unknown> {
  try {
    return JSON.parse(await bodyTextOf(c)) as unknown;
  } catch {
    throw new StoreOperationError('invalid', 'the body: accepted is JSON');
  }
}

/** @throws StoreOperationError that names every key that is wrong, and what it takes */
export function parsed<T>(schema: z.ZodType<T>, value: unknown): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const faults = result.error.issues.slice(0, FAULTS_LIMIT).map(({ path, message, ...issue }) => {
    if (issue.code === 'unrecognized_keys') return `${issue.keys.join(', ').slice(0, 100)}: unknown key`;
    return `${path.length === 0 ? 'the body' : path.join('.')}: ${message}`;
  });
  throw new StoreOperationError('invalid', faults.join('; '));
}
