import { LRUCache } from 'lru-cache';
import type { Clock } from '../../clock.ts';
import {
  credentialError,
  type CredentialPlace,
  type CredentialReports,
  WORLD_READABLE,
} from './credential-place.ts';
import type { Credential, CredentialSource } from './credential-source.ts';
import { type DockerConfig, type DockerConfigEntry, entriesFor, parseDockerConfig } from './docker-config.ts';
import { helperCredential } from './helper-credential.ts';
import type { RenewedCredential } from './renewed-credential.ts';
import { WatchedFile } from './watched-file.ts';

const FILE_LIMIT_BYTES = 1024 * 1024;
const HELPER_COUNT_LIMIT = 100;
const KEY = 'dockerConfig';

export interface DockerConfigSourceOptions extends CredentialReports {
  readonly path: string;
  /** `host[:port]` of the registry. */
  readonly host: string;
  readonly place: CredentialPlace;
  readonly clock: Clock;
}

/**
 * Credentials from docker's `config.json` or podman's `auth.json`. Where the file has nothing for a repository it is
 * pulled anonymously, as docker does; where it has nothing for the registry at all, that is said once.
 */
export class DockerConfigSource implements CredentialSource {
  readonly account = KEY;
  readonly #options: DockerConfigSourceOptions;
  readonly #file: WatchedFile<DockerConfig>;
  readonly #helpers: LRUCache<string, RenewedCredential>;
  readonly #warned = new Set<string>();

  /** The file is read at once, so that what is wrong with it is in the log from the start. */
  constructor(options: DockerConfigSourceOptions) {
    this.#options = options;
    this.#helpers = new LRUCache({ max: HELPER_COUNT_LIMIT, dispose: (helper) => helper.close() });
    this.#file = dockerConfigFile({ ...options, warn: (_key, problem) => this.#warnOnce(problem) });
    this.#file.begin((problem) => options.unusable(`${options.place.keyPath}.${KEY}`, problem));
  }

  async credential(repository: string, signal: AbortSignal): Promise<Credential | undefined> {
    const config = await this.#file.value(signal);
    const { host, place } = this.#options;
    for (const entry of entriesFor(config, host, repository)) {
      if (entry.kind === 'helper') {
        const credential = await this.#helper(entry).credential(signal);
        if (credential !== undefined) return credential;
        continue;
      }
      if (entry.credential !== undefined) return entry.credential;
      throw credentialError(place, KEY, `is malformed at ${entry.key}`);
    }
    this.#warnOnce(`has nothing for ${host}, or not for all of it: the rest is pulled anonymously`);
    return undefined;
  }

  refused(credential: Credential): void {
    this.#file.distrust();
    for (const helper of this.#helpers.values()) helper.refused(credential);
  }

  close(): void {
    this.#file.close();
    this.#helpers.clear();
  }

  #helper({ helper, key, server }: Extract<DockerConfigEntry, { kind: 'helper' }>): RenewedCredential {
    const id = JSON.stringify([helper, server]);
    const known = this.#helpers.get(id);
    if (known !== undefined) return known;
    const { place, clock } = this.#options;
    const made = helperCredential({ name: helper, server, place, key: `${KEY}: its ${key}`, clock });
    this.#helpers.set(id, made);
    return made;
  }

  #warnOnce(problem: string): void {
    if (this.#warned.has(problem)) return;
    this.#warned.add(problem);
    const { warn, place } = this.#options;
    warn(`${place.keyPath}.${KEY}`, problem);
  }
}

/** The file by itself, read when first asked for. */
export function dockerConfigFile({
  path,
  place,
  clock,
  warn,
}: Omit<DockerConfigSourceOptions, 'host' | 'unusable'>): WatchedFile<DockerConfig> {
  const fail = (why: string): Error => credentialError(place, KEY, why);
  return new WatchedFile({
    path,
    limitBytes: FILE_LIMIT_BYTES,
    clock,
    fail,
    parse: (text, { isWorldReadable }) => {
      const config = parseDockerConfig(text);
      if (config === undefined)
        throw fail("is malformed: it is not docker's config.json or podman's auth.json");
      // Not an error: Kubernetes mounts secrets like this.
      if (isWorldReadable && config.auths.size > 0) warn(`${place.keyPath}.${KEY}`, WORLD_READABLE);
      return config;
    },
  });
}
