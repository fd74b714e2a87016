import type { Clock } from '../../clock.ts';
import type { EcrAuth } from '../../config.ts';
import { cloudError } from './cloud-error.ts';
import { REFUSAL_MEMORY_MS } from './credential-refusals.ts';
import { credentialError, type CredentialPlace } from './credential-place.ts';
import type { Credential } from './credential-source.ts';
import { type Obtained, RenewedCredential } from './renewed-credential.ts';

const KEY = 'ecr';
/** The default chain may ask several places (files, STS, metadata servers) before the API itself. */
const DEADLINE_MS = 20_000;
const TRIES = 2;
/** AWS says 12 h; a wall clock that is wrong must not make it more, and not make it nothing. */
const LIFETIME_LIMIT_MS = 12 * 3_600_000;
const SHORTEST_LIFETIME_MS = 60_000;
const PUBLIC_HOST = 'public.ecr.aws';
/** Where alone the API of ECR Public is. */
const PUBLIC_REGION = 'us-east-1';
const PRIVATE_HOST = /^(?<account>\d{12})\.dkr[.-]ecr(?:-fips)?\.(?<region>[a-z0-9-]+)\./;

export interface CloudCredentialOptions {
  readonly place: CredentialPlace;
  readonly clock: Clock;
  /** `host[:port]` of the registry. */
  readonly host: string;
}

interface Authorization {
  readonly authorizationToken?: string | undefined;
  readonly expiresAt?: Date | undefined;
}

/** `GetAuthorizationToken`: a password for ECR, a Bearer token for ECR Public. */
export function ecrCredential(
  auth: EcrAuth,
  { place, clock, host }: CloudCredentialOptions,
): RenewedCredential {
  const isPublic = auth.public ?? host === PUBLIC_HOST;
  return new RenewedCredential({
    clock,
    youngMs: REFUSAL_MEMORY_MS,
    deadlineMs: DEADLINE_MS,
    timeout: () => credentialError(place, KEY, `gets no answer from AWS within ${DEADLINE_MS / 1000} s`),
    obtain: async (signal) => {
      let authorization: Authorization | undefined;
      try {
        authorization = isPublic ? await askPublic(auth, signal) : await askPrivate(auth, host, signal);
      } catch (error) {
        signal.throwIfAborted();
        throw awsError(place, error);
      }
      const credential = credentialOf(authorization?.authorizationToken, isPublic);
      if (credential === undefined)
        throw credentialError(place, KEY, 'gets an answer without an authorization token from AWS');
      return { credential, lifetimeMs: lifetimeOf(authorization?.expiresAt, clock) };
    },
  });
}

async function askPrivate(
  auth: EcrAuth,
  host: string,
  signal: AbortSignal,
): Promise<Authorization | undefined> {
  const { account, region } = PRIVATE_HOST.exec(host)?.groups ?? {};
  const registryId = auth.registryId ?? account;
  const { ECRClient, GetAuthorizationTokenCommand } = await import('@aws-sdk/client-ecr');
  const client = new ECRClient(settings(auth, auth.region ?? region));
  try {
    const input = registryId === undefined ? {} : { registryIds: [registryId] };
    const { authorizationData } = await client.send(new GetAuthorizationTokenCommand(input), {
      abortSignal: signal,
    });
    return authorizationData?.[0];
  } finally {
    client.destroy();
  }
}

async function askPublic(auth: EcrAuth, signal: AbortSignal): Promise<Authorization | undefined> {
  const { ECRPUBLICClient, GetAuthorizationTokenCommand } = await import('@aws-sdk/client-ecr-public');
  const client = new ECRPUBLICClient(settings(auth, auth.region ?? PUBLIC_REGION));
  try {
    const command = new GetAuthorizationTokenCommand({});
    const { authorizationData } = await client.send(command, { abortSignal: signal });
    return authorizationData;
  } finally {
    client.destroy();
  }
}

/** What is absent is for the SDK to find: environment, files, metadata. */
function settings({ profile, endpoint }: EcrAuth, region: string | undefined) {
  return {
    maxAttempts: TRIES,
    ...(region !== undefined && { region }),
    ...(profile !== undefined && { profile }),
    ...(endpoint !== undefined && { endpoint }),
  };
}

function credentialOf(token: string | undefined, isPublic: boolean): Credential | undefined {
  if (token === undefined || !/^[A-Za-z0-9+/_=-]+$/.test(token)) return undefined;
  if (isPublic) return { kind: 'bearer', token };
  const text = Buffer.from(token, 'base64').toString('utf8');
  const colon = text.indexOf(':');
  if (colon < 1 || /\p{Cc}/u.test(text)) return undefined;
  return { kind: 'basic', username: text.slice(0, colon), password: text.slice(colon + 1) };
}

function lifetimeOf(expiresAt: Date | undefined, clock: Clock): Obtained['lifetimeMs'] {
  const ms = expiresAt === undefined ? LIFETIME_LIMIT_MS : expiresAt.getTime() - clock.now();
  return Math.min(LIFETIME_LIMIT_MS, Math.max(SHORTEST_LIFETIME_MS, ms));
}

function awsError(place: CredentialPlace, error: unknown): Error {
  if (error instanceof Error && error.name === 'CredentialsProviderError')
    return credentialError(place, KEY, 'finds no AWS credentials in the default chain');
  if (error instanceof Error && error.message.startsWith('Region is missing'))
    return credentialError(place, KEY, 'needs region: neither the host name nor the AWS settings name one');
  return cloudError(place, KEY, error);
}
