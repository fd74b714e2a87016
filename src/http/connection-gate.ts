import type { Socket } from 'node:net';
import type { Log } from '../log.ts';
import type { Metrics } from '../metrics.ts';

export interface ConnectionLimits {
  readonly total: number;
  /** Of IPv6 addresses one /64 counts as one client: that is what one client can choose from. */
  readonly perClient: number;
}

interface Client {
  open: number;
  /** Since when connections of this client were turned away without the count having come down. */
  refused: number;
}

/** Says which connections are taken, of all listeners that share it. Bounded by what is open: one entry a client. */
export class ConnectionGate {
  readonly #limits: ConnectionLimits;
  readonly #reporting: { readonly log: Log; readonly metrics: Metrics };
  readonly #clients = new Map<string, Client>();
  #open = 0;
  #refused = 0;

  constructor(limits: ConnectionLimits, reporting: { readonly log: Log; readonly metrics: Metrics }) {
    this.#limits = limits;
    this.#reporting = reporting;
  }

  /** True: it is counted until it closes. False: it has been destroyed. */
  admit(socket: Socket): boolean {
    const { remoteAddress } = socket;
    // It was gone before we looked.
    if (remoteAddress === undefined) {
      socket.destroy();
      return false;
    }
    const leave = this.enter(remoteAddress);
    if (leave === undefined) socket.destroy();
    else socket.once('close', leave);
    return leave !== undefined;
  }

  /**
   * Counts a connection from this address.
   * @returns what is to be called once, when it has closed; absent: there are too many
   */
  enter(remoteAddress: string): (() => void) | undefined {
    const name = clientOf(remoteAddress);
    const client = this.#clients.get(name) ?? { open: 0, refused: 0 };
    if (this.#open >= this.#limits.total) this.#refuseAll();
    else if (client.open >= this.#limits.perClient) this.#refuse(name, client);
    else return this.#counted(name, client);
    return undefined;
  }

  #counted(name: string, client: Client): () => void {
    this.#clients.set(name, client);
    client.open += 1;
    this.#open += 1;
    return () => {
      client.open -= 1;
      this.#open -= 1;
      const { log } = this.#reporting;
      // Not at the first that leaves: the next one would be refused again, with a line for each.
      if (client.refused > 0 && client.open <= this.#limits.perClient / 2) {
        log.info({ client: name, refused: client.refused }, 'the client may connect again');
        client.refused = 0;
      }
      if (this.#refused > 0 && this.#open <= this.#limits.total / 2) {
        log.info({ refused: this.#refused }, 'connections are taken again');
        this.#refused = 0;
      }
      if (client.open === 0) this.#clients.delete(name);
    };
  }

  #refuse(name: string, client: Client): void {
    client.refused += 1;
    this.#reporting.metrics.listeners.refused('client');
    if (client.refused > 1) return;
    const facts = { client: name, limit: this.#limits.perClient };
    this.#reporting.log.warn(facts, 'the client has too many connections open: more are refused');
  }

  #refuseAll(): void {
    this.#refused += 1;
    this.#reporting.metrics.listeners.refused('total');
    if (this.#refused > 1) return;
    this.#reporting.log.error(
      { limit: this.#limits.total },
      'too many connections are open: more are refused',
    );
  }
}

/** An IPv4 address, mapped into IPv6 or not; of any other IPv6 address its first 64 bits. */
export function clientOf(address: string): string {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1];
  if (mapped !== undefined) return mapped;
  if (!address.includes(':')) return address;
  const [head = '', tail] = address.replace(/%.*$/, '').split('::');
  const first = head === '' ? [] : head.split(':');
  const last = tail === undefined || tail === '' ? [] : tail.split(':');
  // `::` stands for as many zeros as are missing; a dotted end is two groups.
  const missing = tail === undefined ? 0 : 8 - first.length - last.length - (tail.includes('.') ? 1 : 0);
  const groups = [...first, ...Array<string>(Math.max(0, missing)).fill('0'), ...last].slice(0, 4);
  return `${groups.map((group) => group.toLowerCase()).join(':')}::/64`;
}
