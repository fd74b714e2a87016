import type { gaxios as Gaxios, JWTInput } from 'google-auth-library';
import type { Clock } from '../../clock.ts';
import type { GoogleAuthSettings } from '../../config.ts';
import { cloudError } from './cloud-error.ts';
import { REFUSAL_MEMORY_MS } from './credential-refusals.ts';
import {
  credentialError,
  type CredentialPlace,
  type CredentialReports,
  WORLD_READABLE,
} from './credential-place.ts';
import type { Credential, CredentialSource } from './credential-source.ts';
import type { CloudCredentialOptions } from './ecr-credential.ts';
import { RenewedCredential } from './renewed-credential.ts';
import { WatchedFile } from './watched-file.ts';

const KEY = 'google';
const DEADLINE_MS = 20_000;
const REQUEST_MS = 8_000;
const KEY_FILE_LIMIT_BYTES = 64 * 1024;
/** What Artifact Registry and gcr.io want for pulling, and no more ("Deploying to Compute Engine", required permissions). */
const SCOPE = 'https://www.googleapis.com/auth/devstorage.read_only';
/** What the registries take an access token under. */
const USER = 'oauth2accesstoken';
/** Google's access tokens live an hour; a metadata server may hand out one with a few minutes left. */
const LIFETIME_LIMIT_MS = 3_600_000;
const SHORTEST_LIFETIME_MS = 30_000;
/** What google-auth-library asks whatever the key says. */
const DEFAULT_TOKEN_URL = 'https://oauth2.googleapis.com/token';

interface KeyFile {
  readonly json: JWTInput;
  /** The key's own `token_uri`. */
  readonly tokenUrl: string | undefined;
}

/** An access token of a service account's key, of application default credentials, or of the metadata server. */
export class GoogleSource implements CredentialSource {
  readonly account = KEY;
  readonly isMinted = true;
  readonly #file: WatchedFile<KeyFile> | undefined;
  readonly #credential: RenewedCredential;
  #key: KeyFile | undefined;

  constructor({ keyFile }: GoogleAuthSettings, options: CloudCredentialOptions & CredentialReports) {
    const { place, clock, warn, unusable } = options;
    if (keyFile !== undefined) {
      this.#file = googleKeyFile(keyFile, { place, clock, warn });
      this.#file.begin((problem) => unusable(`${place.keyPath}.${KEY}.keyFile`, problem));
    }
    this.#credential = new RenewedCredential({
      clock,
      youngMs: REFUSAL_MEMORY_MS,
      deadlineMs: DEADLINE_MS,
      timeout: () => credentialError(place, KEY, `gets no answer from Google within ${DEADLINE_MS / 1000} s`),
      obtain: async (signal) => {
        const key = await this.#file?.value(signal);
        try {
          return await accessToken(key, clock);
        } catch (error) {
          signal.throwIfAborted();
          throw cloudError(place, KEY, error);
        }
      },
    });
  }

  async credential(_repository: string, signal: AbortSignal): Promise<Credential | undefined> {
    const key = await this.#file?.value(signal);
    if (key !== this.#key) {
      this.#key = key;
      this.#credential.forget();
    }
    return this.#credential.credential(signal);
  }

  refused(credential: Credential): void {
    this.#file?.distrust();
    this.#credential.refused(credential);
  }

  close(): void {
    this.#file?.close();
    this.#credential.close();
  }
}

async function accessToken(
  key: KeyFile | undefined,
  clock: Clock,
): Promise<{ credential: Credential; lifetimeMs: number }> {
  const { GoogleAuth, gaxios } = await import('google-auth-library');
  const tokenUrl = key?.tokenUrl;
  /** Bounded, and by the key's own token endpoint. */
  class Transporter extends gaxios.Gaxios {
    override async request<T>(options: Gaxios.GaxiosOptions = {}) {
      const moved = String(options.url) === DEFAULT_TOKEN_URL && tokenUrl !== undefined;
      const bounds = { timeout: REQUEST_MS, retry: false };
      return super.request<T>({ ...options, ...bounds, ...(moved && { url: tokenUrl }) });
    }
  }
  const auth = new GoogleAuth({
    scopes: [SCOPE],
    clientOptions: { transporter: new Transporter() },
    ...(key !== undefined && { credentials: key.json }),
  });
  const client = await auth.getClient();
  const { token } = await client.getAccessToken();
  if (typeof token !== 'string' || !/^[\x21-\x7e]+$/.test(token)) throw new Error('no token');
  const expiresAtMs = client.credentials.expiry_date ?? clock.now() + LIFETIME_LIMIT_MS;
  const lifetimeMs = Math.min(LIFETIME_LIMIT_MS, Math.max(SHORTEST_LIFETIME_MS, expiresAtMs - clock.now()));
  return { credential: { kind: 'basic', username: USER, password: token }, lifetimeMs };
}

/** The key by itself, read when first asked for. */
export function googleKeyFile(
  path: string,
  {
    place,
    clock,
    warn,
  }: Pick<CredentialReports, 'warn'> & { readonly place: CredentialPlace; readonly clock: Clock },
): WatchedFile<KeyFile> {
  const key = `${KEY}.keyFile`;
  const fail = (why: string): Error => credentialError(place, key, why);
  let warned = false;
  return new WatchedFile({
    path,
    limitBytes: KEY_FILE_LIMIT_BYTES,
    clock,
    fail,
    parse: (text, { isWorldReadable }) => {
      const json = keyOf(text);
      if (json === undefined) throw fail('is malformed: it is not a JSON key of Google');
      if (isWorldReadable && !warned) {
        warned = true;
        warn(`${place.keyPath}.${key}`, WORLD_READABLE);
      }
      return json;
    },
  });
}

function keyOf(text: string): KeyFile | undefined {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof json !== 'object' || json === null) return undefined;
  const {
    type,
    client_email: email,
    private_key: key,
    token_uri: tokenUri,
  } = json as Record<string, unknown>;
  if (typeof type !== 'string') return undefined;
  if (type === 'service_account' && (typeof email !== 'string' || typeof key !== 'string')) return undefined;
  const isUrl = typeof tokenUri === 'string' && /^https?:\/\//.test(tokenUri) && URL.canParse(tokenUri);
  return { json, tokenUrl: isUrl ? tokenUri : undefined };
}
