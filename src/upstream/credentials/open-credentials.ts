import type { AuthConfig } from '../../config.ts';
import type { Clock } from '../../clock.ts';
import type { TokenReply } from '../token-source.ts';
import { AzureSource } from './azure-source.ts';
import type { CredentialReports } from './credential-place.ts';
import type { CredentialSource } from './credential-source.ts';
import { DockerConfigSource } from './docker-config-source.ts';
import { ecrCredential } from './ecr-credential.ts';
import { GoogleSource } from './google-source.ts';
import { HelperSource } from './helper-credential.ts';
import { SecretSource } from './secret-source.ts';

export interface CredentialOptions extends CredentialReports {
  readonly upstreamName: string;
  /** Of `auth` in the configuration, for messages: `upstreams.quay.io.auth`. */
  readonly keyPath: string;
  /** Where the registry is, as its URL says: what is looked up in files and programs is for this host only. */
  readonly base: URL;
  readonly clock: Clock;
  /** Posts a form to the registry's own host, without following redirects. Throws UpstreamError. */
  readonly post: (url: URL, form: string, signal: AbortSignal) => Promise<TokenReply>;
}

/** Nobody signs in. */
const anonymous: CredentialSource = {
  account: 'anonymous',
  credential: async () => Promise.resolve(undefined),
  refused: () => undefined,
  close: () => undefined,
};

/** The source for `auth`, wherever it stands in the configuration. Reads its files, and asks nobody before the first call. */
export function openCredentials(auth: AuthConfig | undefined, options: CredentialOptions): CredentialSource {
  const place = options;
  const { clock, warn, unusable } = options;
  const secret = { place, clock, warn, unusable };
  if (auth === undefined) return anonymous;
  if ('username' in auth) return SecretSource.basic(auth, secret);
  if ('token' in auth) return SecretSource.bearer(auth.token, secret);
  if ('identityToken' in auth) return SecretSource.identityToken(auth.identityToken, secret);
  const { host } = options.base;
  if ('dockerConfig' in auth) return new DockerConfigSource({ ...secret, path: auth.dockerConfig, host });
  if ('helper' in auth) return new HelperSource({ name: auth.helper, place, key: 'helper', clock }, host);
  if ('google' in auth) return new GoogleSource(auth.google, { ...options, place, host });
  if ('azure' in auth) return new AzureSource(auth.azure, { ...options, place, host });
  const ecr = ecrCredential(auth.ecr, { place, clock, host });
  return {
    account: 'ecr',
    isMinted: true,
    credential: async (_repository, signal) => ecr.credential(signal),
    refused: (credential) => ecr.refused(credential),
    close: () => ecr.close(),
  };
}
