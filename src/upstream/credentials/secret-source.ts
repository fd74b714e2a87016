import type { AuthConfig, Secret } from '../../config.ts';
import { secretFault } from '../../config-auth.ts';
import type { Clock } from '../../clock.ts';
import {
  type CredentialPlace,
  type CredentialReports,
  closedError,
  credentialError,
  WORLD_READABLE,
} from './credential-place.ts';
import type { Credential, CredentialSource } from './credential-source.ts';
import { WatchedFile } from './watched-file.ts';

const SECRET_LIMIT_BYTES = 64 * 1024;

export interface SecretReaderOptions extends CredentialReports {
  readonly place: CredentialPlace;
  readonly clock: Clock;
}

/** A secret by its key, from the configuration or from the file that it names, which is read at once. */
export class SecretReader {
  readonly #text: string | undefined;
  readonly #file: WatchedFile<string> | undefined;

  constructor(key: string, secret: Secret, { place, clock, warn, unusable }: SecretReaderOptions) {
    if (typeof secret === 'string') {
      this.#text = secret;
      return;
    }
    const fail = (why: string): Error => credentialError(place, `${key}File`, why);
    // Only the last part of a nested key (`azure.clientSecret`) has rules of its own.
    const name = key.slice(key.lastIndexOf('.') + 1);
    const keyPath = `${place.keyPath}.${key}File`;
    let isWarned = name === 'username';
    this.#file = new WatchedFile({
      path: secret.file,
      limitBytes: SECRET_LIMIT_BYTES,
      clock,
      fail,
      parse: (content, { isWorldReadable }) => {
        const text = content.replace(/[\r\n]+$/, '');
        const fault = secretFault(name, text);
        if (fault !== undefined) throw fail(`names a file whose content ${fault}`);
        // Not an error: Kubernetes mounts secrets like this.
        if (isWorldReadable && !isWarned) warn(keyPath, WORLD_READABLE);
        isWarned ||= isWorldReadable;
        return text;
      },
    });
    this.#file.begin((problem) => unusable(keyPath, problem));
  }

  /** @throws UpstreamError `unavailable`; the signal's reason */
  async text(signal: AbortSignal): Promise<string> {
    return this.#text ?? (await this.#file?.value(signal)) ?? '';
  }

  /** It was refused: a file is read again. */
  distrust(): void {
    this.#file?.distrust();
  }

  close(): void {
    this.#file?.close();
  }
}

/** Credentials that stand in the configuration, or each in a file of its own. */
export class SecretSource implements CredentialSource {
  readonly account: string;
  readonly #readers: readonly SecretReader[];
  readonly #make: (secrets: readonly string[]) => Credential;
  #last: { readonly secrets: readonly string[]; readonly credential: Credential } | undefined;
  #isClosed = false;

  private constructor(
    account: string,
    readers: readonly SecretReader[],
    make: (secrets: readonly string[]) => Credential,
  ) {
    this.account = account;
    this.#readers = readers;
    this.#make = make;
  }

  static basic(
    { username, password }: Extract<AuthConfig, { username: Secret }>,
    options: SecretReaderOptions,
  ): SecretSource {
    // A user name in a file may change, so it is no label.
    const account = typeof username === 'string' ? username : 'username';
    const readers = [
      new SecretReader('username', username, options),
      new SecretReader('password', password, options),
    ];
    return new SecretSource(account, readers, ([name = '', word = '']) => ({
      kind: 'basic',
      username: name,
      password: word,
    }));
  }

  static bearer(token: Secret, options: SecretReaderOptions): SecretSource {
    const readers = [new SecretReader('token', token, options)];
    return new SecretSource('token', readers, ([text = '']) => ({ kind: 'bearer', token: text }));
  }

  static identityToken(token: Secret, options: SecretReaderOptions): SecretSource {
    const readers = [new SecretReader('identityToken', token, options)];
    return new SecretSource('identityToken', readers, ([text = '']) => ({
      kind: 'identity-token',
      token: text,
    }));
  }

  async credential(_repository: string, signal: AbortSignal): Promise<Credential> {
    if (this.#isClosed) throw closedError();
    const secrets = await Promise.all(this.#readers.map((reader) => reader.text(signal)));
    const last = this.#last;
    // The same object as long as nothing changed.
    if (last !== undefined && last.secrets.every((secret, at) => secret === secrets[at]))
      return last.credential;
    const credential = this.#make(secrets);
    this.#last = { secrets, credential };
    return credential;
  }

  refused(): void {
    for (const reader of this.#readers) reader.distrust();
  }

  close(): void {
    this.#isClosed = true;
    for (const reader of this.#readers) reader.close();
  }
}
