import { createServer, type Server, type Socket } from 'node:net';
import type { ListenAddress } from '../config.ts';
import { listenOn } from '../http/listener.ts';

/**
 * Where clients connect, in the owner: it accepts, and reads nothing. Connections are handed to fronts, since a process
 * that accepts for itself takes what it can get: on Linux nearly all of it goes to whoever looks first, and limits that
 * hold over all of them would take a question for each connection. While no front is there, clients wait.
 */
export class Door {
  readonly #server: Server;
  readonly address: ListenAddress;

  /** @throws StartError with one sentence that names `what` */
  static async open(what: string, address: ListenAddress, onClient: (socket: Socket) => void): Promise<Door> {
    const server = createServer({ pauseOnConnect: true }, onClient);
    await listenOn(server, what, address);
    server.on('error', () => undefined);
    return new Door(server);
  }

  private constructor(server: Server) {
    this.#server = server;
    const address = server.address();
    if (address === null || typeof address === 'string') throw new Error('the listener is closed');
    this.address = { host: address.address, port: address.port };
  }

  /** Nobody is let in any more. */
  close(): void {
    this.#server.close();
  }
}
