import type { UpstreamError } from '../upstream-error.ts';
import { credentialError, type CredentialPlace } from './credential-place.ts';

/** Statuses by which the clouds say that the identity is wrong or may not. */
const DENIALS: ReadonlySet<number> = new Set([400, 401, 403]);
const LABEL = /^[A-Za-z][A-Za-z0-9_.-]{0,63}$/;

/**
 * What a cloud's library failed with, as an error of ours. Of the library's own error only a status and a name are
 * taken: its texts and fields may hold keys, assertions and tokens.
 */
export function cloudError(place: CredentialPlace, key: string, error: unknown): UpstreamError {
  const status = statusOf(error);
  const label = labelOf(error);
  const facts = [
    ...(status === undefined ? [] : [`status ${status}`]),
    ...(label === undefined ? [] : [label]),
  ];
  const told = facts.length === 0 ? '' : ` (${facts.join(', ')})`;
  const isThrottled = label !== undefined && /throttl|toomany|slow_?down/i.test(label);
  if (status !== undefined && DENIALS.has(status) && !isThrottled)
    return credentialError(place, key, `is refused by the cloud's sign-in service${told}`, 'denied');
  return credentialError(place, key, `gets no answer from the cloud's sign-in service${told}`);
}

function statusOf(error: unknown): number | undefined {
  const facts = recordOf(error);
  const candidates = [
    recordOf(facts['$metadata'])['httpStatusCode'],
    facts['status'],
    recordOf(facts['response'])['status'],
    facts['errorStatus'],
  ];
  return candidates.find(
    (value): value is number => typeof value === 'number' && value >= 100 && value < 600,
  );
}

function labelOf(error: unknown): string | undefined {
  const facts = recordOf(error);
  return [facts['errorCode'], facts['code'], facts['name']].find(
    (value): value is string => typeof value === 'string' && value !== 'Error' && LABEL.test(value),
  );
}

function recordOf(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}
