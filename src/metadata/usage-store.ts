import type Database from 'better-sqlite3';
import { translated } from './database.ts';
import { prepareLasting } from './lasting-database.ts';
import { asDamage, openUsageDatabase } from './usage-database.ts';

/** Requests and their answers, summed up: the words are those of `activity-events`. */
export interface UsageTraffic {
  requests: number;
  hits: number;
  failures: number;
  pulls: number;
  bytes: number;
  hitBytes: number;
}

/** `small` are answers of all but blobs; milliseconds are of whole answers, until their end. */
export interface UpstreamUsage extends UsageTraffic {
  upstreamBytes: number;
  upstreamPulls: number;
  blobHitBytes: number;
  blobHitMs: number;
  blobMissBytes: number;
  blobMissMs: number;
  smallHits: number;
  smallHitMs: number;
  smallMisses: number;
  smallMissMs: number;
}

export type UsageKind = 'image' | 'client';

export type UsageRow =
  | { readonly kind: 'upstream'; readonly name: string; readonly sums: Readonly<UpstreamUsage> }
  | { readonly kind: UsageKind; readonly name: string; readonly sums: Readonly<UsageTraffic> };

const KINDS = { image: 1, client: 2 } as const satisfies Record<UsageKind, number>;

/** Columns, and what they are called in memory. */
const TRAFFIC = [
  ['requests', 'requests'],
  ['hits', 'hits'],
  ['failures', 'failures'],
  ['pulls', 'pulls'],
  ['bytes', 'bytes'],
  ['hit_bytes', 'hitBytes'],
] as const;
const UPSTREAM = [
  ...TRAFFIC,
  ['upstream_bytes', 'upstreamBytes'],
  ['upstream_pulls', 'upstreamPulls'],
  ['blob_hit_bytes', 'blobHitBytes'],
  ['blob_hit_ms', 'blobHitMs'],
  ['blob_miss_bytes', 'blobMissBytes'],
  ['blob_miss_ms', 'blobMissMs'],
  ['small_hits', 'smallHits'],
  ['small_hit_ms', 'smallHitMs'],
  ['small_misses', 'smallMisses'],
  ['small_miss_ms', 'smallMissMs'],
] as const;

type Columns = readonly (readonly [string, string])[];

/**
 * Usage by day, on disk: the sums of each upstream, image and client. Every call is short; all fail with MetadataError.
 * Who finds it `damaged` closes it, moves it aside and opens it anew.
 */
export class UsageStore {
  readonly #database: Database.Database;
  readonly #statements: ReturnType<typeof prepareStatements>;

  /** @throws MetadataError `damaged`, `newer`, `full`, `failed` */
  static open(dataDir: string, { isWalSafe }: { readonly isWalSafe: boolean }): UsageStore {
    const database = openUsageDatabase(dataDir, isWalSafe);
    try {
      return new UsageStore(database);
    } catch (cause) {
      database.close();
      throw asDamage(cause);
    }
  }

  private constructor(database: Database.Database) {
    this.#database = database;
    this.#statements = prepareStatements(database);
  }

  /** Adds them to the sums of that day: all of them, or none. */
  add(day: number, rows: readonly UsageRow[]): void {
    const { addUpstream, addNamed } = this.#statements;
    this.#run(() =>
      this.#database.transaction(() => {
        for (const { kind, name, sums } of rows) {
          if (kind === 'upstream') addUpstream.run({ day, name, ...sums });
          else addNamed.run({ day, name, ...sums, kind: KINDS[kind] });
        }
      })(),
    );
  }

  /** Days of which anything is kept, from that one on, the first first. */
  days(from: number): readonly number[] {
    return this.#run(() => this.#statements.days.all(from).map(({ day }) => day));
  }

  read(day: number): readonly UsageRow[] {
    const { upstreams, named } = this.#statements;
    return this.#run(() => [
      ...upstreams.all(day).map(({ name, ...sums }) => ({ kind: 'upstream' as const, name, sums })),
      ...named.all(day).map(({ kind, name, ...sums }) => ({
        kind: kind === KINDS.image ? ('image' as const) : ('client' as const),
        name,
        sums,
      })),
    ]);
  }

  /** How many of a kind a day has. */
  count(day: number, kind: UsageKind): number {
    return this.#run(() => this.#statements.count.get(day, KINDS[kind])?.count ?? 0);
  }

  /** Keeps those with most bytes; the others of the day are counted together. */
  keepLargest(day: number, kind: UsageKind, limit: number): void {
    const { gather, dropGathered } = this.#statements;
    const which = { day, kind: KINDS[kind], limit };
    this.#run(() =>
      this.#database.transaction(() => {
        gather.run(which);
        dropGathered.run(which);
      })(),
    );
  }

  /** Forgets rows of days before that one. @returns how many it forgot, `limit` at most: call until it is less */
  forget(before: number, limit: number): number {
    const { forgetNamed, forgetUpstreams } = this.#statements;
    return this.#run(() => {
      const named = forgetNamed.run(before, limit).changes;
      return named === limit ? named : named + forgetUpstreams.run(before, limit - named).changes;
    });
  }

  close(): void {
    this.#database.close();
  }

  #run<T>(work: () => T): T {
    try {
      return work();
    } catch (cause) {
      throw translated(cause);
    }
  }
}

/** A row of a day that is to be summed up with others: not those that stand for many already, and not the largest. */
const LEAST = `SELECT name FROM named_usage WHERE day = @day AND kind = @kind AND name <> '' AND name NOT LIKE '%/'
  ORDER BY bytes DESC, requests DESC, name LIMIT -1 OFFSET @limit`;

function names(columns: Columns): string {
  return columns.map(([column]) => column).join(', ');
}

function values(columns: Columns): string {
  return columns.map(([, key]) => `@${key}`).join(', ');
}

function asKeys(columns: Columns): string {
  return columns.map(([column, key]) => `${column} AS ${key}`).join(', ');
}

function added(columns: Columns): string {
  return columns.map(([column]) => `${column} = ${column} + excluded.${column}`).join(', ');
}

function prepareStatements(database: Database.Database) {
  const prepare = <P extends unknown[], R = unknown>(sql: string) => prepareLasting<P, R>(database, sql);
  return {
    addUpstream: prepare<[UpstreamUsage & { day: number; name: string }]>(
      `INSERT INTO upstream_usage (day, name, ${names(UPSTREAM)}) VALUES (@day, @name, ${values(UPSTREAM)})
       ON CONFLICT DO UPDATE SET ${added(UPSTREAM)}`,
    ),
    addNamed: prepare<[UsageTraffic & { day: number; kind: number; name: string }]>(
      `INSERT INTO named_usage (day, kind, name, ${names(TRAFFIC)}) VALUES (@day, @kind, @name, ${values(TRAFFIC)})
       ON CONFLICT DO UPDATE SET ${added(TRAFFIC)}`,
    ),
    days: prepare<[number], { day: number }>(
      'SELECT DISTINCT day FROM upstream_usage WHERE day >= ? ORDER BY day',
    ),
    upstreams: prepare<[number], UpstreamUsage & { name: string }>(
      `SELECT name, ${asKeys(UPSTREAM)} FROM upstream_usage WHERE day = ?`,
    ),
    named: prepare<[number], UsageTraffic & { kind: number; name: string }>(
      `SELECT kind, name, ${asKeys(TRAFFIC)} FROM named_usage WHERE day = ?`,
    ),
    count: prepare<[number, number], { count: number }>(
      'SELECT count(*) AS count FROM named_usage WHERE day = ? AND kind = ?',
    ),
    gather: prepare<[{ day: number; kind: number; limit: number }]>(
      `INSERT INTO named_usage (day, kind, name, ${names(TRAFFIC)})
       SELECT day, kind, substr(name, 1, instr(name, '/')) AS others,
         ${TRAFFIC.map(([column]) => `sum(${column})`).join(', ')}
       FROM named_usage WHERE day = @day AND kind = @kind AND name IN (${LEAST}) GROUP BY others
       ON CONFLICT DO UPDATE SET ${added(TRAFFIC)}`,
    ),
    dropGathered: prepare<[{ day: number; kind: number; limit: number }]>(
      `DELETE FROM named_usage WHERE day = @day AND kind = @kind AND name IN (${LEAST})`,
    ),
    forgetNamed: prepare<[number, number]>(
      `DELETE FROM named_usage WHERE (day, kind, name) IN
         (SELECT day, kind, name FROM named_usage WHERE day < ? LIMIT ?)`,
    ),
    forgetUpstreams: prepare<[number, number]>(
      `DELETE FROM upstream_usage WHERE (day, name) IN (SELECT day, name FROM upstream_usage WHERE day < ? LIMIT ?)`,
    ),
  };
}
