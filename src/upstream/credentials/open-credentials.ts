import type { AuthConfig } from '../../config.ts';
import type { Clock } from '../../clock.ts';
import type { TokenReply } from '../token-source.ts';
import { credentialError } from './credential-place.ts';
import type { CredentialSource } from './credential-source.ts';
import { SecretSource } from './secret-source.ts';

export interface CredentialOptions {
  readonly upstreamName: string;
  /** Of `auth` in the configuration, for messages: `upstreams.quay.io.auth`. */
  readonly keyPath: string;
  /** Where the registry is, as its URL says: what is looked up in files and programs is for this host only. */
  readonly base: URL;
  readonly clock: Clock;
  /** Posts a form to the registry's own host, without following redirects. Throws UpstreamError. */
  readonly post: (url: URL, form: string, signal: AbortSignal) => Promise<TokenReply>;
  /** Told of what works but should not be so: a sentence without secrets that does not name the upstream. */
  readonly warn: (key: string, problem: string) => void;
}

/** Nobody signs in. */
const anonymous: CredentialSource = {
  account: 'anonymous',
  credential: async () => Promise.resolve(undefined),
  refused: () => undefined,
  close: () => undefined,
};

/** The source for `auth`, wherever it stands in the configuration. Asks nobody before the first call. */
export function openCredentials(auth: AuthConfig | undefined, options: CredentialOptions): CredentialSource {
  const place = options;
  const { clock } = options;
  if (auth === undefined) return anonymous;
  if ('username' in auth) return SecretSource.basic(auth, { place, clock });
  if ('token' in auth) return SecretSource.bearer(auth.token, { place, clock });
  if ('identityToken' in auth) return SecretSource.identityToken(auth.identityToken, { place, clock });
  const [kind = ''] = Object.keys(auth);
  const credential = async (): Promise<never> =>
    Promise.reject(credentialError(place, kind, 'is not supported yet'));
  return { account: kind, credential, refused: () => undefined, close: () => undefined };
}
