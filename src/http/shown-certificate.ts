import { type ListenAddress, type ListenerConfig, type ListenerTls, printListen } from '../config.ts';
import type { Metrics } from '../metrics.ts';
import { StartError } from '../start-error.ts';
import type { ServerCertificate } from './server-certificate.ts';

/** The certificate that one listener shows, and goes on to show when it is renewed. */
export class ShownCertificate {
  /** As it is configured, for metrics. */
  readonly #name: string;
  readonly #metrics: Metrics;
  readonly #show: (certificate: ServerCertificate) => void;
  #stop: () => void = () => undefined;

  /** @param show has the listener show what is there now */
  constructor(address: ListenAddress, metrics: Metrics, show: (certificate: ServerCertificate) => void) {
    this.#name = printListen(address);
    this.#metrics = metrics;
    this.#show = show;
  }

  /** Shows this one from now on. Absent: the listener has none. */
  change(certificate: ServerCertificate | undefined): void {
    this.stop();
    if (certificate === undefined) return;
    const tell = (): void => {
      this.#show(certificate);
      this.#metrics.listeners.certificateExpires(this.#name, certificate.expiresAtMs);
    };
    this.#stop = certificate.onChange(tell);
    tell();
  }

  /** Ends listening to changes of the certificate. */
  stop(): void {
    this.#stop();
    this.#stop = () => undefined;
  }
}

export interface CertificateSource {
  /** How the listeners are called in errors. */
  readonly what: string;
  readonly certificates: { of(tls: ListenerTls): Promise<ServerCertificate> };
}

/** @throws StartError with one sentence */
export async function certificateOf(
  config: ListenerConfig,
  { what, certificates }: CertificateSource,
): Promise<ServerCertificate | undefined> {
  if (config.tls === undefined) return undefined;
  try {
    return await certificates.of(config.tls);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : 'unknown';
    throw new StartError(`${what} cannot speak TLS on ${printListen(config)}: ${reason}.`, { cause });
  }
}
