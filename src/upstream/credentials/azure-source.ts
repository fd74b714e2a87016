import type { AzureAuth } from '../../config.ts';
import type { TokenReply } from '../token-source.ts';
import { UpstreamError } from '../upstream-error.ts';
import { cloudError } from './cloud-error.ts';
import { REFUSAL_MEMORY_MS } from './credential-refusals.ts';
import { credentialError, type CredentialReports } from './credential-place.ts';
import type { Credential, CredentialSource } from './credential-source.ts';
import type { CloudCredentialOptions } from './ecr-credential.ts';
import { RenewedCredential } from './renewed-credential.ts';
import { SecretReader } from './secret-source.ts';

const KEY = 'azure';
const DEADLINE_MS = 20_000;
/** A refresh token of a registry lives 3 h; access tokens are got for it all along. */
const REFRESH_TOKEN_LIFETIME_MS = 3_600_000;
const RESOURCE = 'https://containerregistry.azure.net';
const DEFAULT_ENDPOINT = 'https://login.microsoftonline.com';

export interface AzureSourceOptions extends CloudCredentialOptions, CredentialReports {
  readonly base: URL;
  readonly post: (url: URL, form: string, signal: AbortSignal) => Promise<TokenReply>;
}

/**
 * A refresh token of Azure Container Registry: Entra ID gives an access token for a service principal, a federated
 * identity or the machine's managed identity, and the registry exchanges it (`POST /oauth2/exchange`).
 */
export class AzureSource implements CredentialSource {
  readonly account = KEY;
  readonly isMinted = true;
  readonly #auth: AzureAuth;
  readonly #options: AzureSourceOptions;
  readonly #secret: SecretReader | undefined;
  readonly #credential: RenewedCredential;

  constructor(auth: AzureAuth, options: AzureSourceOptions) {
    const { place, clock } = options;
    this.#auth = auth;
    this.#options = options;
    const { clientSecret, federatedTokenFile } = auth;
    if (clientSecret !== undefined)
      this.#secret = new SecretReader(`${KEY}.clientSecret`, clientSecret, options);
    else if (federatedTokenFile !== undefined)
      this.#secret = new SecretReader(`${KEY}.federatedToken`, { file: federatedTokenFile }, options);
    this.#credential = new RenewedCredential({
      clock,
      youngMs: REFUSAL_MEMORY_MS,
      deadlineMs: DEADLINE_MS,
      timeout: () => credentialError(place, KEY, `gets no answer from Azure within ${DEADLINE_MS / 1000} s`),
      obtain: async (signal) => ({
        credential: await this.#exchanged(await this.#accessToken(signal), signal),
        lifetimeMs: REFRESH_TOKEN_LIFETIME_MS,
      }),
    });
  }

  async credential(_repository: string, signal: AbortSignal): Promise<Credential | undefined> {
    return this.#credential.credential(signal);
  }

  refused(credential: Credential): void {
    this.#secret?.distrust();
    this.#credential.refused(credential);
  }

  close(): void {
    this.#secret?.close();
    this.#credential.close();
  }

  /** Of Entra ID, for container registries. */
  async #accessToken(signal: AbortSignal): Promise<string> {
    const secret = await this.#secret?.text(signal);
    let token: string | undefined;
    try {
      token = secret === undefined ? await managedIdentity(this.#auth) : await principal(this.#auth, secret);
    } catch (error) {
      signal.throwIfAborted();
      throw cloudError(this.#options.place, KEY, error);
    }
    if (token !== undefined && token !== '') return token;
    throw credentialError(this.#options.place, KEY, 'gets an answer without an access token from Azure');
  }

  async #exchanged(accessToken: string, signal: AbortSignal): Promise<Credential> {
    const { base, place, post } = this.#options;
    const form = new URLSearchParams({ grant_type: 'access_token', service: base.host });
    if (this.#auth.tenantId !== undefined) form.set('tenant', this.#auth.tenantId);
    form.set('access_token', accessToken);
    let reply: TokenReply;
    try {
      reply = await post(new URL('/oauth2/exchange', base.origin), form.toString(), signal);
    } catch (error) {
      signal.throwIfAborted();
      const why = error instanceof UpstreamError ? `: ${error.message}` : '';
      throw credentialError(place, KEY, `cannot be exchanged at the registry${why}`);
    }
    const { status } = reply;
    if (status === 401 || status === 403)
      throw credentialError(place, KEY, `is refused by the registry (status ${status})`, 'denied');
    const token = status === 200 ? refreshToken(reply.body) : undefined;
    if (token === undefined)
      throw credentialError(
        place,
        KEY,
        `cannot be exchanged: the registry answered ${status} without a token`,
      );
    return { kind: 'identity-token', token };
  }
}

/** @param secret the client secret, or the token of the federated identity */
async function principal(auth: AzureAuth, secret: string): Promise<string | undefined> {
  const { ConfidentialClientApplication } = await import('@azure/msal-node');
  const { tenantId = '', clientId = '', endpoint = DEFAULT_ENDPOINT } = auth;
  // Told, so that the library asks nobody else where to sign in. It takes https for an authority only.
  const oauth = `${endpoint}/${tenantId}/oauth2/v2.0`;
  const authority = `${endpoint.startsWith('https:') ? endpoint : DEFAULT_ENDPOINT}/${tenantId}`;
  const application = new ConfidentialClientApplication({
    auth: {
      clientId,
      authority,
      knownAuthorities: [new URL(authority).host],
      authorityMetadata: JSON.stringify({
        authorization_endpoint: `${oauth}/authorize`,
        token_endpoint: `${oauth}/token`,
        issuer: `${endpoint}/${tenantId}/v2.0`,
        jwks_uri: `${endpoint}/${tenantId}/discovery/v2.0/keys`,
      }),
      ...(auth.clientSecret === undefined ? { clientAssertion: secret } : { clientSecret: secret }),
    },
    system: { disableInternalRetries: true },
  });
  const result = await application.acquireTokenByClientCredential({ scopes: [`${RESOURCE}/.default`] });
  return result?.accessToken;
}

async function managedIdentity({ clientId }: AzureAuth): Promise<string | undefined> {
  const { ManagedIdentityApplication } = await import('@azure/msal-node');
  const application = new ManagedIdentityApplication({
    ...(clientId !== undefined && { managedIdentityIdParams: { userAssignedClientId: clientId } }),
    system: { disableInternalRetries: true },
  });
  return (await application.acquireToken({ resource: RESOURCE })).accessToken;
}

function refreshToken(body: Buffer): string | undefined {
  let reply: unknown;
  try {
    reply = JSON.parse(body.toString('utf8'));
  } catch {
    return undefined;
  }
  if (typeof reply !== 'object' || reply === null) return undefined;
  const { refresh_token: token } = reply as Record<string, unknown>;
  return typeof token === 'string' && /^[\x21-\x7e]+$/.test(token) ? token : undefined;
}
