import { Socket } from 'node:net';
import { Listener } from '../http/listener.ts';
import type { FrontBegin, FrontMessage, OwnerMessage } from './front-messages.ts';
import { inOneMessage } from './in-one-message.ts';
import { Relay } from './relay.ts';

/** What a front needs of the process that it is. */
export interface FrontSurroundings {
  /** Of this program's files. */
  readonly version: string;
  /** Never throws. */
  readonly tell: (message: FrontMessage) => void;
  readonly used: () => { readonly cpuSeconds: number; readonly residentBytes: number };
  /** Ends the process. */
  readonly end: () => void;
}

interface Open {
  readonly relay: Relay;
  readonly listeners: readonly Listener[];
}

/**
 * One of several processes that speak with clients: TLS and HTTP with them, plain HTTP with the owner, and files at rest
 * sent by itself. It decides nothing, and keeps nothing.
 */
export class Front {
  readonly #surroundings: FrontSurroundings;
  /** Connections that the owner handed over: no others are served. */
  readonly #handed = new WeakSet<Socket>();
  #open: Open | undefined;
  readonly #gone: (connection: number) => void;

  constructor(surroundings: FrontSurroundings) {
    this.#surroundings = surroundings;
    this.#gone = inOneMessage((connections) => surroundings.tell({ kind: 'closed', connections }));
  }

  /** To be called for each message of the owner; what cannot be done for him ends the process. */
  async heard(message: OwnerMessage, handle: unknown): Promise<void> {
    switch (message.kind) {
      case 'begin':
        if (message.version !== this.#surroundings.version) {
          this.#surroundings.tell({ kind: 'stranger', version: this.#surroundings.version });
          this.#endSoon();
          return;
        }
        this.#open = await this.#begin(message);
        this.#surroundings.tell({ kind: 'ready' });
        return;
      case 'certificate':
        this.#open?.listeners[message.listener]?.show(message);
        return;
      case 'connection':
        this.#take(message, handle);
        return;
      case 'forget':
        this.#open?.relay.forget(message.generation);
        this.#surroundings.tell({ kind: 'forgotten', generation: message.generation });
        return;
      case 'close':
        await this.#close(message.graceMs);
        return;
      case 'ping':
        this.#surroundings.tell({ kind: 'pong', ...this.#surroundings.used() });
    }
  }

  async #begin({ ownerPath, token, listeners: configured }: FrontBegin): Promise<Open> {
    const { tell } = this.#surroundings;
    const relay = new Relay({
      ownerPath,
      token,
      onLeft: (requests) => tell({ kind: 'left', requests }),
      onCarried: (reports) => tell({ kind: 'carried', reports }),
      onRepeated: (reports) => tell({ kind: 'repeated', reports }),
    });
    const listeners: Listener[] = [];
    for (const { path, pair } of configured) {
      // Node looks after connections only where it listens; nobody is let in there.
      const gate = { admit: (socket: Socket) => this.#admit(socket) };
      const certificate = pair && { pair };
      listeners.push(
        await Listener.open('A worker', { path }, (...both) => relay.serve(...both), { gate, certificate }),
      );
    }
    return { relay, listeners };
  }

  #admit(socket: Socket): boolean {
    const isHanded = this.#handed.has(socket);
    if (!isHanded) socket.destroy();
    return isHanded;
  }

  #take({ listener, connection }: Extract<OwnerMessage, { kind: 'connection' }>, handle: unknown): void {
    const into = this.#open?.listeners[listener];
    // It may have gone on its way here.
    if (!(handle instanceof Socket) || handle.destroyed || into === undefined) {
      if (handle instanceof Socket) handle.destroy();
      this.#gone(connection);
      return;
    }
    handle.once('close', () => this.#gone(connection));
    this.#handed.add(handle);
    into.take(handle);
  }

  async #close(graceMs: number): Promise<void> {
    await Promise.all((this.#open?.listeners ?? []).map(async (listener) => listener.close(graceMs)));
    await this.#open?.relay.close();
    this.#endSoon();
  }

  /** What was said in this turn is to arrive. */
  #endSoon(): void {
    setTimeout(() => this.#surroundings.end(), 10);
  }
}
