import type { Clock } from '../clock.ts';
import type { UpstreamConfig } from '../config.ts';
import { sameSettings } from '../config-change.ts';
import type { RepositoryKey } from '../metadata/metadata-store.ts';
import type { Upstream } from '../upstream/upstream.ts';
import { LeasedClient } from './leased-client.ts';
import { RepositoryPolicies, type RepositoryPolicy } from './repository-policies.ts';
import { UpstreamHandle } from './upstream-handle.ts';
import { UpstreamRoutes } from './upstream-routes.ts';

/** A client that was replaced may finish what runs on it for so long; then it is closed all the same. */
export const RETIREMENT_LIMIT_MS = 10 * 60_000;
/** Clients that may finish at the same time: of more the oldest is closed. */
export const RETIRING_LIMIT = 32;
/** So often it is looked whether something still runs; idle twice in a row is idle. */
const LOOK_MS = 1_000;
const IDLE_LOOKS = 2;

export interface UpstreamSetParts {
  readonly clock: Clock;
  /**
   * Opens no connection.
   * @param isCurrent whether the client is the one that holds: one that finishes what it began tells how it itself is,
   * and not how the upstream is
   * @throws when the settings cannot be used
   */
  readonly open: (config: UpstreamConfig, isCurrent: () => boolean) => Upstream;
  readonly isOffline: (upstream: string) => boolean;
  /** Told that nothing of an upstream that is configured no more is left. Must not throw. */
  readonly onGone?: ((upstream: string) => void) | undefined;
}

/** Upstreams with their clients open, that do not hold yet. One of the two is to be called, once. */
export interface RenewedUpstreams {
  /** From now on they hold, for every request that begins. */
  commit(): UpstreamChange;
  /** They never will. */
  discard(): void;
}

/** Names, by what became of them. */
export interface UpstreamChange {
  readonly added: readonly string[];
  readonly changed: readonly string[];
  /** Of those the ones that have another client, of which nothing is known yet. */
  readonly renewed: readonly string[];
  readonly removed: readonly string[];
}

/** What belongs together, so that no request ever sees half of a change. */
interface Tables {
  readonly configs: readonly UpstreamConfig[];
  readonly routes: UpstreamRoutes;
  readonly policies: RepositoryPolicies;
}

interface Retiring {
  readonly name: string;
  readonly config: UpstreamConfig;
  readonly client: LeasedClient;
  readonly ending: AbortController;
  readonly ended: Promise<void>;
}

/**
 * The upstreams as they are configured now, with their clients, routes and rules; replaced as a whole. Those whose
 * settings are the same keep their client, with its health, tokens, limits and connections. What runs on a client that
 * was replaced goes on; a blob whose transfer breaks is resumed by the new one. An upstream that is gone is found by no
 * new request, and serves what has begun.
 */
export class UpstreamSet {
  readonly #parts: UpstreamSetParts;
  readonly #handles = new Map<string, UpstreamHandle>();
  readonly #clients = new Map<string, LeasedClient>();
  readonly #retiring = new Set<Retiring>();
  /** Fills and the like that may yet ask an upstream: set by who knows. */
  isWanted: (upstream: string) => boolean = () => false;
  #tables: Tables;
  #isClosed = false;

  /** @throws what `open` throws; nothing is left open then */
  constructor(configs: readonly UpstreamConfig[], parts: UpstreamSetParts) {
    this.#parts = parts;
    this.#tables = this.#tablesOf([]);
    this.renew(configs).commit();
  }

  /** In the configuration's order. */
  get configs(): readonly UpstreamConfig[] {
    return this.#tables.configs;
  }

  get names(): readonly string[] {
    return this.configs.map(({ name }) => name);
  }

  get routes(): UpstreamRoutes {
    return this.#tables.routes;
  }

  /** Clients that finish what they began, and are configured no more. */
  get retiringCount(): number {
    return this.#retiring.size;
  }

  /** By name; it stands for whichever client there is at each call. Also one that is gone, as long as something of it runs. */
  get(upstream: string): Upstream | undefined {
    return this.#handles.get(upstream);
  }

  /** @throws PullThroughError `not-allowed`, `unknown-upstream` */
  of(key: RepositoryKey): RepositoryPolicy {
    return this.#tables.policies.of(key);
  }

  /** As `RepositoryPolicies.segmentLimit`. */
  segmentLimit(upstream: string): number {
    return this.#tables.policies.segmentLimit(upstream);
  }

  configOf(upstream: string): UpstreamConfig | undefined {
    return this.configs.find(({ name }) => name === upstream);
  }

  /** Opens the clients of what is new or other. @throws what `open` throws, nothing is left open then */
  renew(configs: readonly UpstreamConfig[]): RenewedUpstreams {
    const opened = new Map<string, LeasedClient>();
    const discard = (): void => {
      for (const client of opened.values()) void client.close();
    };
    try {
      for (const config of configs) {
        if (this.#isKept(config)) continue;
        const { name } = config;
        const isCurrent = (): boolean => this.#clients.get(name) === client;
        const client: LeasedClient = new LeasedClient(this.#parts.open(config, isCurrent));
        opened.set(name, client);
      }
    } catch (error) {
      discard();
      throw error;
    }
    return { commit: () => this.#commit(configs, opened), discard };
  }

  /** Closes every client, now. */
  async close(): Promise<void> {
    this.#isClosed = true;
    const retiring = [...this.#retiring];
    for (const { ending } of retiring) ending.abort();
    await Promise.all([
      ...[...this.#clients.values()].map((client) => client.close()),
      ...retiring.map(({ ended }) => ended),
    ]);
  }

  #isKept(config: UpstreamConfig): boolean {
    const before = this.configOf(config.name);
    return before !== undefined && sameSettings(clientSettings(before), clientSettings(config));
  }

  #commit(configs: readonly UpstreamConfig[], opened: ReadonlyMap<string, LeasedClient>): UpstreamChange {
    const before = this.configs;
    const removed = before.filter(({ name }) => configs.every((config) => config.name !== name));
    const added = [...opened.keys()].filter((name) => !before.some((config) => config.name === name));
    const changed = configs.flatMap((config) => {
      const known = this.configOf(config.name);
      return known === undefined || sameSettings(known, config) ? [] : [config.name];
    });
    for (const config of before) {
      const old = this.#clients.get(config.name);
      const isGone = removed.includes(config);
      if (old === undefined || (!isGone && !opened.has(config.name))) continue;
      this.#clients.delete(config.name);
      this.#retire(config, old);
    }
    for (const [name, client] of opened) {
      this.#clients.set(name, client);
      const handle = this.#handles.get(name);
      if (handle === undefined) this.#handles.set(name, new UpstreamHandle(name, client));
      else handle.client = client;
    }
    this.#tables = this.#tablesOf(configs);
    const renewed = [...opened.keys()].filter((name) => !added.includes(name));
    return { added, changed, renewed, removed: removed.map(({ name }) => name) };
  }

  #tablesOf(configs: readonly UpstreamConfig[]): Tables {
    const names = new Set(configs.map(({ name }) => name));
    // By the rules that it had last.
    const gone = [...this.#retiring].map(({ config }) => config).filter(({ name }) => !names.has(name));
    const known = new Map([...gone, ...configs].map((config) => [config.name, config] as const));
    return {
      configs,
      routes: new UpstreamRoutes(configs),
      policies: new RepositoryPolicies([...known.values()], this.#parts.isOffline),
    };
  }

  #retire(config: UpstreamConfig, client: LeasedClient): void {
    const ending = new AbortController();
    const { name } = config;
    const retire = async (): Promise<void> => {
      await this.#finish(name, client, ending.signal);
      this.#retiring.delete(retiring);
      this.#forgetWhatIsGone(name);
    };
    const retiring: Retiring = { name, config, client, ending, ended: retire() };
    this.#retiring.add(retiring);
    const finishing = [...this.#retiring].filter((other) => !other.ending.signal.aborted);
    if (finishing.length > RETIRING_LIMIT) finishing[0]?.ending.abort();
  }

  async #finish(name: string, client: LeasedClient, ending: AbortSignal): Promise<void> {
    const { clock } = this.#parts;
    const endMs = clock.monotonic() + RETIREMENT_LIMIT_MS;
    for (let idle = 0; idle < IDLE_LOOKS && clock.monotonic() < endMs && !ending.aborted;) {
      await clock.sleep(LOOK_MS, ending).catch(() => undefined);
      // What may yet be asked for is asked of a new client, where there is one.
      const isWanted = !this.#clients.has(name) && this.isWanted(name);
      idle = client.running === 0 && !isWanted ? idle + 1 : 0;
    }
    // Whatever is wrong with it, nobody uses it any more.
    await client.close().catch(() => undefined);
  }

  /** Of an upstream that is not configured, and of which nothing runs. */
  #forgetWhatIsGone(name: string): void {
    if (this.#clients.has(name) || [...this.#retiring].some((other) => other.name === name)) return;
    this.#handles.delete(name);
    if (this.#isClosed) return;
    this.#tables = this.#tablesOf(this.configs);
    this.#parts.onGone?.(name);
  }
}

/** What the client goes by: the rest is looked up at each request anyway. */
function clientSettings(config: UpstreamConfig): unknown {
  const { default: _default, prefixes: _prefixes, hosts: _hosts, offline: _offline, ...rest } = config;
  const {
    maxSize: _maxSize,
    allow: _allow,
    deny: _deny,
    tagTtlMs: _ttl,
    maxStaleMs: _stale,
    ...further
  } = rest;
  const { immutableTags: _tags, stale: _reactions, repositories = [], limits = {}, ...client } = further;
  const { segments: _segments, bandwidth: _bandwidth, pullReserve: _reserve, ...hard } = limits;
  const accounts = repositories.flatMap(({ pattern, auth }) =>
    auth === undefined ? [] : [{ pattern, auth }],
  );
  return { ...client, limits: hard, accounts };
}
