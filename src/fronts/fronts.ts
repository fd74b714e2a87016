import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { ListenAddress, ListenerConfig } from '../config.ts';
import type { Carrier } from '../http/carrier.ts';
import type { ConnectionGate } from '../http/connection-gate.ts';
import { Listener } from '../http/listener.ts';
import type { FinishedExchange } from '../http/request-report.ts';
import type { Certificates, RegistryListeners } from '../http/listeners.ts';
import type { CertificatePair } from '../http/server-certificate.ts';
import { certificateOf, ShownCertificate } from '../http/shown-certificate.ts';
import type { Log } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import type { AnswerRepeaters } from '../pull-through/pull-through.ts';
import type { StartError } from '../start-error.ts';
import { Door } from './door.ts';
import { FRONT_HEADER, GIVEN_BACK_HEADER, restoreRequest, said } from './forwarded-request.ts';
import type { FrontEnd, StartFront } from './front-process.ts';
import { FrontRestarts } from './front-restarts.ts';
import { frontStartFailure } from './front-start-failure.ts';
import { LentAnswers } from './lent-answers.ts';
import { OwnerPlace } from './owner-place.ts';
import { type Arrival, RunningFront } from './running-front.ts';

/** What a client may send, and what a front puts behind it. */
const HEADER_LIMIT_BYTES = 72 * 1024;
/** Shorter stretches are relayed: see `npm run bench -- --only workers`. */
const LEAST_CARRIED_BYTES = 64 * 1024;
/** How long a client waits for a front when all of them have ended. */
const WAIT_LIMIT_MS = 10_000;

export interface FrontsOptions {
  /** How the listeners are called in errors: `The registry`. */
  readonly what: string;
  readonly listeners: readonly ListenerConfig[];
  /** How many processes. */
  readonly count: number;
  readonly gate: Pick<ConnectionGate, 'enter'>;
  readonly certificates: Certificates;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly dataDir: string;
  /** Of this process. */
  readonly version: string;
  readonly start: StartFront;
  /** As `HotAnswers` has it. Absent: fronts give no answer without asking. */
  readonly generation?: (() => number) | undefined;
  /** A front gave an answer by itself. */
  readonly onRepeated: (finished: FinishedExchange) => void;
}

export type ServeCarried = (request: IncomingMessage, response: ServerResponse, carrier: Carrier) => void;

interface OpenDoor {
  readonly door: Door;
  readonly shown: ShownCertificate;
  readonly pair: () => CertificatePair | undefined;
}

/**
 * Several processes that speak with clients, for one that owns everything else: the registry's listeners of a server with
 * more than one worker.
 */
export class Fronts implements RegistryListeners, AnswerRepeaters {
  readonly #options: FrontsOptions;
  readonly #serve: ServeCarried;
  readonly #place: OwnerPlace;
  readonly #fronts = new Set<RunningFront>();
  readonly #byToken = new Map<string, RunningFront>();
  readonly #doors: OpenDoor[] = [];
  readonly #repeat: Carrier['repeat'];
  /** Clients that came while there was no front. */
  readonly #waiting = new Map<Arrival, NodeJS.Timeout>();
  readonly #restarts: FrontRestarts;
  readonly #lent: LentAnswers | undefined;
  #owner: Listener | undefined;
  #started = 0;
  /** CPU seconds of fronts that are no more. */
  #usedBefore = 0;
  #isClosing = false;
  #onChange: () => void = () => undefined;
  /** Until all of them have begun to serve. */
  #starting: { readonly fail: (error: StartError) => void; readonly ready: (() => void)[] } | undefined;

  /**
   * All listen when it resolves, and clients wait until `begin` has.
   * @throws StartError with one sentence, nothing left open
   */
  static async open(options: FrontsOptions, serve: ServeCarried): Promise<Fronts> {
    const fronts = new Fronts(options, serve, await OwnerPlace.open(options.dataDir));
    try {
      await fronts.#open();
      return fronts;
    } catch (error) {
      await fronts.close(0);
      throw error;
    }
  }

  private constructor(options: FrontsOptions, serve: ServeCarried, place: OwnerPlace) {
    this.#options = options;
    this.#serve = serve;
    this.#place = place;
    const { log, metrics, version } = options;
    this.#restarts = new FrontRestarts({ log, metrics, version, start: () => this.#startFront() });
    metrics.fronts.from(() => this.#figures);
    const forget = (generation: number): void => {
      for (const front of this.#readyFronts) front.forget(generation);
    };
    const { generation } = options;
    const lent = generation && new LentAnswers(generation, forget);
    this.#lent = lent;
    this.#repeat = lent && ((...answer) => lent.lend(...answer));
  }

  async #open(): Promise<void> {
    for (const [at, config] of this.#options.listeners.entries()) await this.#openDoor(at, config);
    this.#owner = await Listener.open(
      'The owner of the workers',
      { path: this.#place.ownerPath },
      (request, response) => this.#take(request, response),
      { headerLimitBytes: HEADER_LIMIT_BYTES },
    );
  }

  async begin(): Promise<void> {
    const { count } = this.#options;
    await new Promise<void>((resolve, reject) => {
      this.#starting = { fail: reject, ready: [] };
      this.#onChange = () => {
        if (this.readyCount === count) resolve();
      };
      for (let at = 0; at < count; at += 1) this.#startFront();
    });
    this.#onChange = () => undefined;
    // Not before: where another one fails, nothing serves.
    for (const tell of this.#starting?.ready ?? []) tell();
    this.#starting = undefined;
  }

  async #openDoor(at: number, config: ListenerConfig): Promise<void> {
    const { what, metrics } = this.#options;
    const certificate = await certificateOf(config, this.#options);
    let pair: CertificatePair | undefined;
    const shown = new ShownCertificate(config, metrics, (renewed) => {
      pair = renewed.pair;
      for (const front of this.#readyFronts) front.show(at, pair);
    });
    const door = await Door.open(what, config, (socket) => this.#arrived(at, socket));
    this.#doors.push({ door, shown, pair: () => pair });
    shown.change(certificate);
  }

  get addresses(): readonly ListenAddress[] {
    return this.#doors.map(({ door }) => door.address);
  }

  get readyCount(): number {
    return this.#readyFronts.length;
  }

  async renew(configs: readonly ListenerConfig[]): Promise<() => void> {
    const certificates = await Promise.all(
      configs.map(async (config) => certificateOf(config, this.#options)),
    );
    return () => {
      for (const [at, { shown }] of this.#doors.entries()) shown.change(certificates[at]);
    };
  }

  changed(): void {
    this.#lent?.look();
  }

  async forgotten(): Promise<void> {
    this.#lent?.look();
    await Promise.all([...this.#fronts].map(async (front) => front.forgotten()));
  }

  async close(graceMs: number): Promise<void> {
    this.#isClosing = true;
    for (const { door, shown } of this.#doors) {
      door.close();
      shown.stop();
    }
    this.#restarts.close();
    this.#lent?.close();
    for (const arrival of this.#waiting.keys()) this.#turnAway(arrival);
    const ended = new Promise<void>((resolve) => {
      this.#onChange = () => void (this.#fronts.size > 0 || resolve());
    });
    for (const front of this.#fronts) front.close(graceMs);
    this.#onChange();
    await ended;
    await this.#owner?.close(0);
    await this.#place.close();
  }

  abort(): void {
    this.#isClosing = true;
    for (const front of this.#fronts) front.kill();
    this.#owner?.abort();
  }

  get #readyFronts(): readonly RunningFront[] {
    return [...this.#fronts].filter(({ isReady }) => isReady);
  }

  get #figures(): { running: number; cpuSeconds: number; residentBytes: number } {
    const used = [...this.#fronts].map((front) => front.used);
    return {
      running: this.readyCount,
      cpuSeconds: used.reduce((sum, { cpuSeconds }) => sum + cpuSeconds, this.#usedBefore),
      residentBytes: used.reduce((sum, { residentBytes }) => sum + residentBytes, 0),
    };
  }

  #startFront(): void {
    const number = (this.#started += 1);
    const front = new RunningFront({
      version: this.#options.version,
      start: this.#options.start,
      ownerPath: this.#place.ownerPath,
      listeners: this.#doors.map(({ pair }, at) => ({
        path: this.#place.listenerPath(number, at),
        pair: pair(),
      })),
      onReady: () => this.#ready(front),
      onRepeated: (reports) => {
        for (const report of reports) {
          const finished = this.#lent?.finished(report);
          if (finished !== undefined) this.#options.onRepeated(finished);
        }
      },
      onEnd: (ended, end) => this.#ended(ended, end),
    });
    this.#fronts.add(front);
    this.#byToken.set(front.token, front);
  }

  #ready(front: RunningFront): void {
    const ms = Math.round(performance.now() - front.startedAt);
    this.#restarts.served();
    const tell = (): void => this.#options.log.info({ pid: front.pid, ms }, 'a worker serves');
    if (this.#starting === undefined) tell();
    else this.#starting.ready.push(tell);
    // It may have changed since it was begun.
    for (const [at, { pair }] of this.#doors.entries()) {
      const current = pair();
      if (current !== undefined) front.show(at, current);
    }
    for (const [arrival, timer] of this.#waiting) {
      clearTimeout(timer);
      front.take(arrival);
    }
    this.#waiting.clear();
    this.#onChange();
  }

  #ended(front: RunningFront, end: FrontEnd): void {
    this.#fronts.delete(front);
    this.#byToken.delete(front.token);
    this.#usedBefore += front.used.cpuSeconds;
    const { pid, startedAt, otherVersion } = front;
    const ranMs = performance.now() - startedAt;
    const lost = { pid, ranMs, end, otherVersion, isMissed: this.readyCount === 0 };
    if (this.#starting !== undefined) this.#starting.fail(frontStartFailure(lost, this.#options.version));
    else if (!this.#isClosing) this.#restarts.ended(lost);
    this.#onChange();
  }

  /** A client has come. */
  #arrived(listener: number, socket: Socket): void {
    // It may break before anybody reads it.
    socket.on('error', () => undefined);
    const leave =
      socket.remoteAddress === undefined ? undefined : this.#options.gate.enter(socket.remoteAddress);
    if (leave === undefined) {
      socket.destroy();
      return;
    }
    const arrival = { socket, listener, leave };
    const front = this.#leastBusy;
    if (front !== undefined) front.take(arrival);
    else
      this.#waiting.set(
        arrival,
        setTimeout(() => this.#turnAway(arrival), WAIT_LIMIT_MS),
      );
  }

  #turnAway(arrival: Arrival): void {
    clearTimeout(this.#waiting.get(arrival));
    this.#waiting.delete(arrival);
    arrival.socket.destroy();
    arrival.leave();
  }

  get #leastBusy(): RunningFront | undefined {
    let least: RunningFront | undefined;
    for (const front of this.#fronts) {
      if (!front.isReady) continue;
      if (least === undefined || front.connectionCount < least.connectionCount) least = front;
    }
    return least;
  }

  /** A front hands a request over, or gives back what it could not send. */
  #take(request: IncomingMessage, response: ServerResponse): void {
    const front = this.#byToken.get(said(request, FRONT_HEADER) ?? '');
    if (front === undefined) {
      request.socket.destroy();
      return;
    }
    const givenBack = said(request, GIVEN_BACK_HEADER);
    if (givenBack !== undefined) {
      const [loan = NaN, position = NaN] = givenBack.split(' ').map(Number);
      if (!front.loans.giveBack(loan, position, response)) response.destroy();
      return;
    }
    const { client, number } = restoreRequest(request);
    this.#serve(request, response, {
      client,
      leastBytes: LEAST_CARRIED_BYTES,
      lend: (...file) => front.loans.lend(number, ...file),
      repeat: this.#repeat,
    });
  }
}
