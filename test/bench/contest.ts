import { setTimeout as delay } from 'node:timers/promises';
import type { UpstreamContent, UpstreamImage } from './nginx-upstream.ts';
import type { Ability, Contestant, RunningPeer } from './peers/peer.ts';
import { pullImage } from './pull.ts';
import type { ServerProcess } from './server-process.ts';
import { MIB, type Workbench } from './workbench.ts';

/**
 * The same work for every contestant. All of them do it once with a client that hashes every body, and only who gave
 * the right bytes is measured; then, round by round, each in turn, beginning with another one each time.
 */

/** What was measured of one contestant in one round, by name. */
export type Sample = Readonly<Record<string, number>>;

export interface Outcome {
  /** Of each contestant that could do it a sample for each round. */
  readonly samples: ReadonlyMap<string, readonly Sample[]>;
}

export interface Work {
  /** What it asks of a peer beyond pulls of images. Default: nothing. */
  readonly needs?: Ability;
  /** What the clients take in all, where that is known beforehand. */
  readonly deliveredBytes?: number;
  /**
   * @throws when a body is not what it should be; of its digest only with `hashed`. A sample with `requests` tells how
   * many there were, one with `clientCpuSeconds` what clients of other processes needed.
   */
  run(url: string, options: RunOptions): Promise<Sample>;
}

export interface RunOptions {
  readonly hashed: boolean;
  /** Waits until the server does nothing any more: before the next part of some work. */
  readonly settled: () => Promise<void>;
}

export interface ColdWork extends Work {
  /** What is asked for, by a name that ends the key of its `upstreamShare`. */
  readonly contents: Readonly<Record<string, readonly UpstreamContent[]>>;
  /** Instead of the fast upstream. */
  readonly upstreamUrl?: string;
  /** Whether only entrepot does it. Default false. */
  readonly oursAlone?: boolean;
  /** What the contestants are compared with, once in each round while none of them runs. */
  readonly beside?: () => Promise<void>;
}

/** The one whose failure is a failure of the bench. */
export const OURS = 'entrepot';
const WARM_UP_IMAGES = 8;
const WARM_UP_LAYER_BYTES = 16 * MIB;
/** A server is quiet when it used no more than two ticks in as many steps. */
const QUIET_STEP_MS = 150;
const QUIET_STEPS = 2;
const QUIET_SECONDS = 0.02;
const QUIET_LIMIT_MS = 60_000;
const WARMING_LIMIT = 6;

/**
 * Each time with a server that has just been started, whose cache holds nothing of it; it has pulled some small images,
 * so that its code and its upstream connections are warm. No other contestant runs meanwhile. A sample gets
 * `upstreamShare…` of each of the contents and `peakRssMib` too, and what `measured` adds, of all that the server does
 * until it is quiet again.
 */
export async function coldContest(bench: Workbench, work: ColdWork): Promise<Outcome> {
  const warmUp: UpstreamImage[] = [];
  for (let count = 0; count < WARM_UP_IMAGES; count += 1)
    warmUp.push(await bench.upstream.addImage([WARM_UP_LAYER_BYTES]));
  const turn: Turn = async (contestant, hashed) => {
    const server = await bench.startPeer(contestant, work.upstreamUrl);
    try {
      for (const image of warmUp) await pullImage(server.url, image, { hashed: false });
      await quiet(server.process);
      await bench.settle();
      const mark = await bench.upstream.mark();
      const sample = await measured(bench, server, { work, hashed });
      const shares: Record<string, number> = {};
      for (const [name, contents] of Object.entries(work.contents)) {
        const { bodyBytes } = await bench.upstream.transfersSince(mark, contents);
        shares[`upstreamShare${name}`] = bodyBytes / sizeOf(contents);
      }
      return {
        ...sample,
        ...shares,
        peakRssMib: (await server.process.peakRssBytes()) / MIB,
      };
    } finally {
      await bench.retire(server);
    }
  };
  const { beside } = work;
  const contestants = work.oursAlone === true ? bench.contestants.filter(isOurs) : able(bench, work.needs);
  const outcome = await inTurns(bench, { contestants, work, turn, ...(beside && { beside }) });
  for (const image of warmUp) await bench.upstream.removeImage(image);
  return outcome;
}

/** Servers whose caches hold what is asked for, all running. */
export class WarmServers {
  readonly #bench: Workbench;
  readonly #servers: ReadonlyMap<Contestant, RunningPeer>;

  private constructor(bench: Workbench, servers: ReadonlyMap<Contestant, RunningPeer>) {
    this.#bench = bench;
    this.#servers = servers;
  }

  /** `fill` asks for all that is to be warm; it is repeated until that costs no upstream transfer any more. */
  static async open(
    bench: Workbench,
    fill: (url: string, options: { readonly hashed: boolean }) => Promise<void>,
  ): Promise<WarmServers> {
    const servers = new Map<Contestant, RunningPeer>();
    for (const contestant of bench.contestants) {
      await orLeftOut(bench, contestant, async () => {
        const server = await bench.startPeer(contestant);
        try {
          await fill(server.url, { hashed: true });
          await warm(bench, server, async () => fill(server.url, { hashed: false }));
          servers.set(contestant, server);
        } catch (error) {
          await bench.retire(server);
          throw error;
        }
      });
    }
    await bench.settle();
    return new WarmServers(bench, servers);
  }

  /** A sample gets what `measured` adds. */
  async measure(work: Work): Promise<Outcome> {
    const turn: Turn = async (contestant, hashed) => {
      const server = this.#servers.get(contestant);
      if (!server) throw new Error('it is not running');
      const mark = await this.#bench.upstream.mark();
      const sample = await measured(this.#bench, server, { work, hashed });
      const { requests } = await this.#bench.upstream.transfersSince(mark);
      if (requests > 0) throw new Error(`it was not warm: it fetched ${requests} bodies`);
      return sample;
    };
    return inTurns(this.#bench, { contestants: [...this.#servers.keys()], work, turn });
  }

  async close(): Promise<void> {
    for (const server of this.#servers.values()) await this.#bench.retire(server);
  }
}

/** Until nothing happens any more: some store behind the answer's back, by another transfer. */
export async function quiet(server: ServerProcess): Promise<void> {
  const deadline = performance.now() + QUIET_LIMIT_MS;
  let before = await server.cpuSeconds();
  for (let steps = 0; steps < QUIET_STEPS && performance.now() < deadline;) {
    await delay(QUIET_STEP_MS);
    const now = await server.cpuSeconds();
    steps = now - before <= QUIET_SECONDS ? steps + 1 : 0;
    before = now;
  }
}

type Turn = (contestant: Contestant, hashed: boolean) => Promise<Sample>;

interface Turns {
  readonly contestants: readonly Contestant[];
  readonly work: Work;
  readonly turn: Turn;
  readonly beside?: () => Promise<void>;
}

async function inTurns(bench: Workbench, { contestants, work, turn, beside }: Turns): Promise<Outcome> {
  const samples = new Map<string, Sample[]>();
  const proven: Contestant[] = [];
  for (const contestant of contestants) {
    await orLeftOut(bench, contestant, async () => {
      await turn(contestant, true);
      proven.push(contestant);
      samples.set(contestant.peer.name, []);
    });
  }
  for (let round = 0; round < bench.rounds; round += 1) {
    await beside?.();
    const first = round % proven.length;
    for (const contestant of [...proven.slice(first), ...proven.slice(0, first)]) {
      const { name } = contestant.peer;
      const series = samples.get(name);
      if (!series) continue;
      await orLeftOut(bench, contestant, async () => void series.push(await turn(contestant, false)));
      if (series.length <= round) samples.delete(name);
    }
  }
  noteClients(bench, work, [...samples.values()].flat());
  return { samples };
}

/** A sample of the work with `cpuSeconds`, and by what it was: `cpuPerGigabyte`, `cpuPerThousand` requests. */
async function measured(
  bench: Workbench,
  server: RunningPeer,
  { work, hashed }: { readonly work: Work; readonly hashed: boolean },
): Promise<Sample> {
  const before = await server.process.cpuSeconds();
  const client = process.cpuUsage();
  const settled = async () => {
    await quiet(server.process);
    await bench.settle();
  };
  const sample = await work.run(server.url, { hashed, settled });
  const { user, system } = process.cpuUsage(client);
  await quiet(server.process);
  const cpuSeconds = (await server.process.cpuSeconds()) - before;
  const { requests, clientCpuSeconds = (user + system) / 1e6 } = sample;
  return {
    ...sample,
    cpuSeconds,
    clientCpuSeconds,
    ...(work.deliveredBytes !== undefined && { cpuPerGigabyte: (cpuSeconds * 1e9) / work.deliveredBytes }),
    ...(requests !== undefined && { cpuPerThousand: (cpuSeconds * 1000) / requests }),
  };
}

function noteClients(bench: Workbench, { deliveredBytes }: Work, samples: readonly Sample[]): void {
  const sum = (of: (sample: Sample) => number) => samples.reduce((total, sample) => total + of(sample), 0);
  const cpuSeconds = sum(({ clientCpuSeconds = 0 }) => clientCpuSeconds);
  const requests = sum(({ requests: count = 0 }) => count);
  if (requests > 0) bench.note(`clients needed ${((cpuSeconds / requests) * 1e6).toFixed(1)} µs a request`);
  else if (deliveredBytes !== undefined) {
    const gigabytes = (deliveredBytes * samples.length) / 1e9;
    bench.note(`clients needed ${(cpuSeconds / gigabytes).toFixed(2)} CPU s/GB`);
  }
}

function isOurs({ peer }: Contestant): boolean {
  return peer.isOurs === true;
}

function sizeOf(contents: readonly UpstreamContent[]): number {
  return contents.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
}

/** Those that can do it; the others are told with their reason. */
function able(bench: Workbench, needs: Ability | undefined): readonly Contestant[] {
  if (needs === undefined) return bench.contestants;
  return bench.contestants.filter(({ peer }) => {
    const reason = peer.limits[needs];
    if (reason !== undefined) bench.note(`${peer.name} is left out: ${reason}`);
    return reason === undefined;
  });
}

/** Another's failure is told, and it is left out; ours is thrown. */
async function orLeftOut(
  bench: Workbench,
  { peer }: Contestant,
  attempt: () => Promise<void>,
): Promise<void> {
  try {
    await attempt();
  } catch (error) {
    if (peer.isOurs === true) throw error;
    bench.note(`${peer.name} is left out: ${error instanceof Error ? error.message : String(error)}`);
  }
}

async function warm(bench: Workbench, server: RunningPeer, fill: () => Promise<void>): Promise<void> {
  for (let time = 0; time < WARMING_LIMIT; time += 1) {
    await quiet(server.process);
    const mark = await bench.upstream.mark();
    await fill();
    await quiet(server.process);
    if ((await bench.upstream.transfersSince(mark)).requests === 0) return;
  }
  throw new Error('it does not get warm');
}
