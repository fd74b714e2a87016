import type { Clock } from '../../clock.ts';
import { credentialError, type CredentialPlace } from './credential-place.ts';
import type { Credential, CredentialSource } from './credential-source.ts';
import { serverFor } from './docker-config.ts';
import { askHelper } from './helper-program.ts';
import { RenewedCredential } from './renewed-credential.ts';

const DEADLINE_MS = 10_000;
/** How long an answer is kept; nothing says how long it is good for. What is refused meanwhile is asked for anew. */
const ANSWER_LIFETIME_MS = 5 * 60_000;

export interface HelperCredentialOptions {
  readonly name: string;
  readonly server: string;
  readonly place: CredentialPlace;
  /** Below `auth`, for messages. */
  readonly key: string;
  readonly clock: Clock;
}

/** What a credential helper has for one server, `undefined` where it has nothing. One process at a time. */
export function helperCredential({
  name,
  server,
  place,
  key,
  clock,
}: HelperCredentialOptions): RenewedCredential {
  const failed = (why: string) =>
    credentialError(place, key, `names docker-credential-${name}, which ${why}`);
  return new RenewedCredential({
    clock,
    deadlineMs: DEADLINE_MS,
    timeout: () => failed(`did not answer within ${DEADLINE_MS / 1000} s`),
    obtain: async (signal) => {
      const answer = await askHelper(name, server, signal);
      if (answer.kind === 'failure') throw failed(answer.why);
      const credential = answer.kind === 'credential' ? answer.credential : undefined;
      return { credential, lifetimeMs: ANSWER_LIFETIME_MS };
    },
  });
}

/** `auth: { helper: NAME }`: nothing is pulled anonymously in place of what the helper does not have. */
export class HelperSource implements CredentialSource {
  readonly account = 'helper';
  readonly #options: Omit<HelperCredentialOptions, 'server'>;
  readonly #server: string;
  readonly #credential: RenewedCredential;

  constructor(options: Omit<HelperCredentialOptions, 'server'>, host: string) {
    this.#options = options;
    this.#server = serverFor(host);
    this.#credential = helperCredential({ ...options, server: this.#server });
  }

  async credential(_repository: string, signal: AbortSignal): Promise<Credential> {
    const credential = await this.#credential.credential(signal);
    if (credential !== undefined) return credential;
    const { place, key, name } = this.#options;
    const why = `names docker-credential-${name}, which has nothing for ${this.#server}`;
    throw credentialError(place, key, why);
  }

  refused(credential: Credential): void {
    this.#credential.refused(credential);
  }

  close(): void {
    this.#credential.close();
  }
}
