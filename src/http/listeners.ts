import type { RequestListener } from 'node:http';
import type { Clock } from '../clock.ts';
import { type ListenAddress, type ListenerConfig, type ListenerTls, printListen } from '../config.ts';
import type { Log } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import { StartError } from '../start-error.ts';
import type { ConnectionGate } from './connection-gate.ts';
import { Listener, type ListenerOptions } from './listener.ts';
import { ServerCertificate } from './server-certificate.ts';

export interface ListenersOptions {
  /** How the listeners are called in errors: `The registry`. */
  readonly what: string;
  readonly listeners: readonly ListenerConfig[];
  /** The cap that they share. */
  readonly gate: ConnectionGate;
  readonly certificates: Certificates;
  readonly metrics: Metrics;
  /** As the listener has it. */
  readonly mayTakeLong?: ListenerOptions['mayTakeLong'];
}

/** Several listeners that serve the same, opened and closed as one. */
export class Listeners {
  readonly #listeners: readonly Listener[];

  /**
   * All of them listen, or none.
   * @throws StartError with one sentence
   */
  static async open(options: ListenersOptions, serve: RequestListener): Promise<Listeners> {
    const open: Listener[] = [];
    try {
      for (const config of options.listeners) open.push(await openOne(config, options, serve));
    } catch (error) {
      await Promise.all(open.map(async (listener) => listener.close(0)));
      throw error;
    }
    return new Listeners(open);
  }

  private constructor(listeners: readonly Listener[]) {
    this.#listeners = listeners;
  }

  /** In the order of the configuration; with the ports that the system chose, where 0 was asked. */
  get addresses(): readonly ListenAddress[] {
    return this.#listeners.map(({ address }) => address);
  }

  /** As `Listener.close`, all at once. */
  async close(graceMs: number): Promise<void> {
    await Promise.all(this.#listeners.map(async (listener) => listener.close(graceMs)));
  }

  abort(): void {
    for (const listener of this.#listeners) listener.abort();
  }
}

/** The certificates of all listeners, each pair of files read once however many show it. */
export class Certificates {
  readonly #options: { readonly clock: Clock; readonly log: Log };
  readonly #open = new Map<string, ServerCertificate>();

  constructor(options: { readonly clock: Clock; readonly log: Log }) {
    this.#options = options;
  }

  /** @throws an Error with one sentence that names the file */
  async of(tls: ListenerTls): Promise<ServerCertificate> {
    const key = `${tls.minVersion}\n${tls.certFile}\n${tls.keyFile}`;
    const certificate = this.#open.get(key) ?? (await ServerCertificate.open(tls, this.#options));
    this.#open.set(key, certificate);
    return certificate;
  }

  /** Reads all files now; never rejects. */
  async reload(): Promise<void> {
    await Promise.all([...this.#open.values()].map(async (certificate) => certificate.reload()));
  }

  close(): void {
    for (const certificate of this.#open.values()) certificate.close();
  }
}

async function openOne(
  config: ListenerConfig,
  { what, gate, certificates, metrics, mayTakeLong }: ListenersOptions,
  serve: RequestListener,
): Promise<Listener> {
  if (config.tls === undefined) return Listener.open(what, config, serve, { gate, mayTakeLong });
  const name = printListen(config);
  let certificate: ServerCertificate;
  try {
    certificate = await certificates.of(config.tls);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : 'unknown';
    throw new StartError(`${what} cannot speak TLS on ${name}: ${reason}.`, { cause });
  }
  const tell = (): void => metrics.listeners.certificateExpires(name, certificate.expiresAtMs);
  certificate.onChange(tell);
  tell();
  return Listener.open(what, config, serve, { gate, certificate, mayTakeLong });
}
