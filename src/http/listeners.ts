import type { RequestListener } from 'node:http';
import type { Clock } from '../clock.ts';
import type { ListenAddress, ListenerConfig, ListenerTls } from '../config.ts';
import type { Log } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import type { ConnectionGate } from './connection-gate.ts';
import { Listener, type ListenerOptions } from './listener.ts';
import { ServerCertificate } from './server-certificate.ts';
import { certificateOf, ShownCertificate } from './shown-certificate.ts';

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

/** A listener, and the certificate that it shows. */
interface Open {
  readonly listener: Listener;
  readonly shown: ShownCertificate;
}

/** Where container clients connect, however many processes serve them. */
export interface RegistryListeners extends Pick<Listeners, 'addresses' | 'renew' | 'close' | 'abort'> {
  /**
   * Clients that come are served when it resolves; before that some may wait. To be called once, when nothing else keeps
   * the server from starting. Absent: they are already.
   * @throws StartError with one sentence; `close` is still to be called
   */
  readonly begin?: () => Promise<void>;
}

/** Several listeners that serve the same, opened and closed as one. */
export class Listeners {
  readonly #open: readonly Open[];
  readonly #options: ListenersOptions;

  /**
   * All of them listen, or none.
   * @throws StartError with one sentence
   */
  static async open(options: ListenersOptions, serve: RequestListener): Promise<Listeners> {
    const open: Open[] = [];
    try {
      for (const config of options.listeners) open.push(await openOne(config, options, serve));
    } catch (error) {
      await Promise.all(open.map(async ({ listener }) => listener.close(0)));
      throw error;
    }
    return new Listeners(open, options);
  }

  private constructor(open: readonly Open[], options: ListenersOptions) {
    this.#open = open;
    this.#options = options;
  }

  /** In the order of the configuration; with the ports that the system chose, where 0 was asked. */
  get addresses(): readonly ListenAddress[] {
    return this.#open.map(({ listener }) => listener.address);
  }

  /**
   * Readies other certificates for the same listeners; what it gives has them shown.
   * @throws StartError with one sentence
   */
  async renew(configs: readonly ListenerConfig[]): Promise<() => void> {
    const certificates = await Promise.all(
      configs.map(async (config) => certificateOf(config, this.#options)),
    );
    return () => {
      for (const [at, { shown }] of this.#open.entries()) shown.change(certificates[at]);
    };
  }

  /** As `Listener.close`, all at once. */
  async close(graceMs: number): Promise<void> {
    for (const { shown } of this.#open) shown.stop();
    await Promise.all(this.#open.map(async ({ listener }) => listener.close(graceMs)));
  }

  abort(): void {
    for (const { listener } of this.#open) listener.abort();
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
    const key = keyOf(tls);
    const known = this.#open.get(key);
    if (known !== undefined) return known;
    const certificate = await ServerCertificate.open(tls, this.#options);
    const meanwhile = this.#open.get(key);
    if (meanwhile !== undefined) {
      certificate.close();
      return meanwhile;
    }
    this.#open.set(key, certificate);
    return certificate;
  }

  /** Nobody shows any other than these. */
  keep(listeners: readonly ListenerConfig[]): void {
    const kept = new Set(listeners.flatMap(({ tls }) => (tls === undefined ? [] : [keyOf(tls)])));
    for (const [key, certificate] of this.#open) {
      if (kept.has(key)) continue;
      certificate.close();
      this.#open.delete(key);
    }
  }

  /** Reads all files now; never rejects. */
  async reload(): Promise<void> {
    await Promise.all([...this.#open.values()].map(async (certificate) => certificate.reload()));
  }

  close(): void {
    for (const certificate of this.#open.values()) certificate.close();
  }
}

function keyOf({ minVersion, certFile, keyFile }: ListenerTls): string {
  return `${minVersion}\n${certFile}\n${keyFile}`;
}

async function openOne(
  config: ListenerConfig,
  options: ListenersOptions,
  serve: RequestListener,
): Promise<Open> {
  const { what, gate, mayTakeLong, metrics } = options;
  const certificate = await certificateOf(config, options);
  const listener = await Listener.open(what, config, serve, { gate, certificate, mayTakeLong });
  const shown = new ShownCertificate(config, metrics, (renewed) => listener.show(renewed));
  shown.change(certificate);
  return { listener, shown };
}
