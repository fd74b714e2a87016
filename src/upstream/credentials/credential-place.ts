import { UpstreamError, type UpstreamErrorReason } from '../upstream-error.ts';

/** Where in the configuration credentials come from, for messages. */
export interface CredentialPlace {
  readonly upstreamName: string;
  /** Of `auth`: `upstreams.quay.io.auth`. */
  readonly keyPath: string;
}

/** What is told of credentials besides what their user is: `key` is a key path, `problem` a sentence without secrets. */
export interface CredentialReports {
  /** They work, but should not be so. */
  readonly warn: (key: string, problem: string) => void;
  /** They cannot be had. Told at the start; later on whoever needs them is told. */
  readonly unusable: (key: string, problem: string) => void;
}

export const WORLD_READABLE = 'holds secrets that every user can read';

/**
 * Credentials that cannot be had. Not tried again within the request: what is missing now is missing in a second, too.
 * @param key below `auth`
 * @param why must hold no secret, and nothing that another program or host said
 */
export function credentialError(
  { upstreamName, keyPath }: CredentialPlace,
  key: string,
  why: string,
  reason: UpstreamErrorReason = 'unavailable',
): UpstreamError {
  const message = `no credentials for ${upstreamName}: ${keyPath}.${key} ${why}`;
  return new UpstreamError(reason, message, { isFinal: true });
}

export function closedError(): UpstreamError {
  return new UpstreamError('unavailable', 'the upstream client is closed');
}
