import { STATUS_CODES } from 'node:http';
import { z } from 'zod';
import { StoreOperationError, type StoreOperationReason } from '../cache/store-operation-error.ts';

const REASONS = [
  'not-found',
  'invalid',
  'busy',
  'failed',
  'unreachable',
  'refused',
] as const satisfies readonly StoreOperationReason[];

/** What says why something was not done: problem details of RFC 9457, with the reason beside them. */
export const problem = z.object({
  type: z.literal('about:blank'),
  /** Of the status. */
  title: z.string(),
  status: z.int().min(400).max(599),
  /** For people: what is wrong, and what is accepted. */
  detail: z.string(),
  reason: z.enum(REASONS),
});
export type Problem = z.infer<typeof problem>;

export const PROBLEM_TYPE = 'application/problem+json';

const STATUS: Record<StoreOperationReason, number> = {
  'not-found': 404,
  invalid: 400,
  busy: 429,
  failed: 500,
  unreachable: 502,
  refused: 502,
};

/** @param status absent: the one of the reason */
export function problemAnswer(
  reason: StoreOperationReason,
  detail: string,
  status: number = STATUS[reason],
): Response {
  const document: Problem = {
    type: 'about:blank',
    title: STATUS_CODES[status] ?? 'Error',
    status,
    detail,
    reason,
  };
  return Response.json(document, { status, headers: { 'Content-Type': PROBLEM_TYPE } });
}

/** More than so many bytes came. */
export function tooLarge(maxBytes: number): Response {
  return problemAnswer('invalid', `the body: accepted are ${maxBytes} bytes at most`, 413);
}

/** Did somebody mean to say this? */
export function isForeseen(error: unknown): boolean {
  return error instanceof StoreOperationError || !(error instanceof Error) || error.name === 'AbortError';
}

/** What went wrong, told. Of what nobody foresaw nothing is: it may hold anything. */
export function errorAnswerOf(error: unknown): Response {
  return error instanceof StoreOperationError
    ? problemAnswer(error.reason, error.message)
    : problemAnswer('failed', 'an unexpected error');
}
