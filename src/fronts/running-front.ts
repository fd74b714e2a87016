import { randomBytes } from 'node:crypto';
import type { Socket } from 'node:net';
import { type Deferred, deferred } from '../deferred.ts';
import type { CertificatePair } from '../http/server-certificate.ts';
import { frontMessage, type OwnerMessage, type RepeatedReport } from './front-messages.ts';
import type { FrontEnd, FrontProcess, StartFront } from './front-process.ts';
import { Loans } from './loans.ts';

/** What a front's token is made of: nobody guesses it. */
const TOKEN_BYTES = 24;
const PING_MS = 5_000;
/**
 * One that does not even answer so many pings serves nobody. Counted, not timed: while this process itself stood still
 * (suspended, frozen with its machine), no time passed for anybody.
 */
const UNANSWERED_LIMIT = 6;
/** Loading its modules takes a third of a second on an idle core. */
const PINGS_UNTIL_READY = 6;
/** Forgetting is done as soon as it is heard of: one that hears so late may give what does not hold any more. */
const FORGET_LIMIT_MS = 5_000;
/** What ending may take on top of the time that its clients are given. */
const CLOSE_LIMIT_MS = 5_000;

export interface RunningFrontParts {
  /** Of this process. */
  readonly version: string;
  readonly start: StartFront;
  readonly ownerPath: string;
  readonly listeners: readonly { readonly path: string; readonly pair: CertificatePair | undefined }[];
  readonly onReady: (front: RunningFront) => void;
  readonly onRepeated: (reports: readonly RepeatedReport[]) => void;
  /** It has ended, whyever: its connections and loans are settled. */
  readonly onEnd: (front: RunningFront, end: FrontEnd) => void;
}

/** What a client's connection is to its front's owner. */
export interface Arrival {
  readonly socket: Socket;
  /** Which listener it came to. */
  readonly listener: number;
  /** To be called once, when it has closed. */
  readonly leave: () => void;
}

/** One front as its owner has it, from its start to its end. */
export class RunningFront {
  /** What its requests carry. */
  readonly token = randomBytes(TOKEN_BYTES).toString('base64url');
  readonly loans = new Loans();
  readonly startedAt = performance.now();
  /** Of the whole process, as it said last. */
  used = { cpuSeconds: 0, residentBytes: 0 };
  isReady = false;
  /** What it says that it is, where it is not of our version. It never serves. */
  otherVersion: string | undefined;
  readonly #parts: RunningFrontParts;
  readonly #child: FrontProcess;
  readonly #connections = new Map<number, () => void>();
  /** Handed over, and not on their way yet. */
  readonly #leaving = new Set<Socket>();
  readonly #pinging: NodeJS.Timeout;
  #closing: NodeJS.Timeout | undefined;
  #lastConnection = 0;
  /** By generation. */
  readonly #forgetting = new Map<number, { readonly over: Deferred<void>; readonly timer: NodeJS.Timeout }>();
  #pings = 0;
  /** Since it was heard last. */
  #unanswered = 0;

  constructor(parts: RunningFrontParts) {
    this.#parts = parts;
    const { version, start, ownerPath, listeners } = parts;
    this.#child = start({
      onMessage: (message) => this.#heard(message),
      onEnd: (end) => this.#ended(end),
    });
    this.#pinging = setInterval(() => this.#ping(), PING_MS).unref();
    this.#send({ kind: 'begin', version, ownerPath, token: this.token, listeners });
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** Of clients, open. */
  get connectionCount(): number {
    return this.#connections.size;
  }

  /** Hands a client's connection over. */
  take({ socket, listener, leave }: Arrival): void {
    const connection = (this.#lastConnection += 1);
    this.#connections.set(connection, leave);
    this.#leaving.add(socket);
    const message = { kind: 'connection', listener, connection } as const;
    this.#child.send(message, socket, () => this.#leaving.delete(socket));
  }

  show(listener: number, pair: CertificatePair): void {
    this.#send({ kind: 'certificate', listener, pair });
  }

  /** No answer of before this generation is to be given again. */
  forget(generation: number): void {
    // This process may have stood still: what was said meanwhile is heard before it is judged.
    const late = (): void =>
      void setTimeout(() => void (this.#forgetting.has(generation) && this.kill()), 100);
    const timer = setTimeout(late, FORGET_LIMIT_MS);
    this.#forgetting.set(generation, { over: deferred<void>(), timer });
    this.#send({ kind: 'forget', generation });
  }

  /** Resolves when it gives nothing again that it was told to forget: it says so, or is ended. */
  async forgotten(): Promise<void> {
    await Promise.all([...this.#forgetting.values()].map(async ({ over }) => over.promise));
  }

  /** Its clients may go on for `graceMs`; `onEnd` follows. */
  close(graceMs: number): void {
    this.#send({ kind: 'close', graceMs });
    this.#closing ??= setTimeout(() => this.kill(), graceMs + CLOSE_LIMIT_MS);
  }

  kill(): void {
    this.#child.kill();
  }

  #send(message: OwnerMessage): void {
    this.#child.send(message);
  }

  #ping(): void {
    const isLate = !this.isReady && this.#pings >= PINGS_UNTIL_READY;
    if (isLate || this.#unanswered >= UNANSWERED_LIMIT) {
      this.kill();
      return;
    }
    this.#pings += 1;
    this.#unanswered += 1;
    this.#send({ kind: 'ping' });
  }

  #heard(said: unknown): void {
    const message = frontMessage(said);
    if (message === undefined) return;
    this.#unanswered = 0;
    switch (message.kind) {
      case 'ready':
        this.isReady = true;
        this.#parts.onReady(this);
        return;
      case 'stranger':
        this.otherVersion = message.version;
        this.kill();
        return;
      case 'closed':
        for (const connection of message.connections) this.#left(connection);
        return;
      case 'left':
        for (const request of message.requests) this.loans.left(request);
        return;
      case 'carried':
        for (const report of message.reports) this.loans.report(report);
        return;
      case 'forgotten':
        this.#forgot(message.generation);
        return;
      case 'repeated':
        this.#parts.onRepeated(message.reports);
        return;
      case 'pong':
        this.used = { cpuSeconds: message.cpuSeconds, residentBytes: message.residentBytes };
    }
  }

  #forgot(upTo: number): void {
    for (const [generation, { over, timer }] of this.#forgetting) {
      if (generation > upTo) continue;
      clearTimeout(timer);
      this.#forgetting.delete(generation);
      over.resolve();
    }
  }

  #left(connection: number): void {
    const leave = this.#connections.get(connection);
    this.#connections.delete(connection);
    leave?.();
  }

  #ended(end: FrontEnd): void {
    clearInterval(this.#pinging);
    clearTimeout(this.#closing);
    this.isReady = false;
    // Node forgets those that waited behind another.
    for (const socket of this.#leaving) socket.destroy();
    for (const connection of this.#connections.keys()) this.#left(connection);
    this.loans.end();
    this.#forgot(Infinity);
    this.#parts.onEnd(this, end);
  }
}
