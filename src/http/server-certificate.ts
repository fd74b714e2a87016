import { X509Certificate } from 'node:crypto';
import { open, stat } from 'node:fs/promises';
import { createSecureContext } from 'node:tls';
import type { Clock } from '../clock.ts';
import { type ListenerTls, pairFault } from '../config.ts';
import { kindFault, OPEN_FLAGS } from '../config-file-text.ts';
import type { Log } from '../log.ts';

/** How old a change may be before it counts. Asking twice, so that a pair is not judged between its two files. */
const LOOK_MS = 2_000;
const PEM_BYTES_LIMIT = 1024 * 1024;
const DAY_MS = 24 * 3_600_000;
const WARN_BEFORE_MS = 14 * DAY_MS;

/** What `https.createServer` and `setSecureContext` take. */
export interface CertificatePair {
  readonly cert: string;
  readonly key: string;
  readonly minVersion: ListenerTls['minVersion'];
}

interface Loaded {
  readonly pair: CertificatePair;
  readonly fingerprint: string;
  readonly expiresAtMs: number;
  /** Which files these were: they change by being written, renamed, or by a link that leads elsewhere. */
  readonly stamp: string;
}

export interface CertificateOptions {
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * A certificate and its key, read again when their files change. A new pair that cannot be used is said once, and the
 * old one goes on. Looks at the files instead of watching them: renames, links that are swapped (Kubernetes) and
 * network file systems are all the same to it.
 */
export class ServerCertificate {
  readonly #files: ListenerTls;
  readonly #options: CertificateOptions;
  readonly #listeners = new Set<() => void>();
  readonly #closing = new AbortController();
  #loaded: Loaded;
  /** The stamp of a pair that could not be used, when it was seen once, and when it was said. */
  #suspect: string | undefined;
  #refused: string | undefined;
  #warnedAtMs = Number.NEGATIVE_INFINITY;

  /** @throws an Error with one sentence that names the file */
  static async open(files: ListenerTls, options: CertificateOptions): Promise<ServerCertificate> {
    return new ServerCertificate(files, options, await load(files));
  }

  private constructor(files: ListenerTls, options: CertificateOptions, loaded: Loaded) {
    this.#files = files;
    this.#options = options;
    this.#loaded = loaded;
    this.#warnOfExpiry();
    void this.#look();
  }

  get pair(): CertificatePair {
    return this.#loaded.pair;
  }

  /** Milliseconds since 1970. */
  get expiresAtMs(): number {
    return this.#loaded.expiresAtMs;
  }

  /** Calls `listener` whenever there is a new pair. @returns what ends that */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** Reads the files now, changed or not; never rejects. */
  async reload(): Promise<void> {
    await this.#read(await stampOf(this.#files), true);
  }

  close(): void {
    this.#closing.abort();
  }

  async #look(): Promise<void> {
    const { signal } = this.#closing;
    for (;;) {
      try {
        await this.#options.clock.sleep(LOOK_MS, signal);
      } catch {
        return;
      }
      this.#warnOfExpiry();
      const stamp = await stampOf(this.#files);
      if (signal.aborted) return;
      if (stamp !== this.#loaded.stamp && stamp !== this.#refused)
        await this.#read(stamp, stamp === this.#suspect);
    }
  }

  /** `certain`: what cannot be used is said, not only suspected. */
  async #read(stamp: string, certain: boolean): Promise<void> {
    const { log } = this.#options;
    const { certFile: cert, keyFile: key } = this.#files;
    try {
      const loaded = await load(this.#files);
      const isNew = loaded.fingerprint !== this.#loaded.fingerprint;
      this.#loaded = loaded;
      this.#suspect = undefined;
      this.#refused = undefined;
      for (const listener of this.#listeners) listener();
      if (!isNew) return;
      this.#warnedAtMs = Number.NEGATIVE_INFINITY;
      log.info({ cert, expires: new Date(loaded.expiresAtMs).toISOString() }, 'a new certificate is used');
      this.#warnOfExpiry();
    } catch (error) {
      this.#suspect = stamp;
      if (!certain) return;
      this.#refused = stamp;
      const reason = error instanceof Error ? error.message : 'unknown';
      // Not under `key`, which would be hidden.
      log.error({ cert, keyFile: key, reason }, 'the new certificate cannot be used; the old one stays');
    }
  }

  #warnOfExpiry(): void {
    const { clock, log } = this.#options;
    const leftMs = this.#loaded.expiresAtMs - clock.now();
    if (leftMs >= WARN_BEFORE_MS || clock.monotonic() - this.#warnedAtMs < DAY_MS) return;
    this.#warnedAtMs = clock.monotonic();
    const expires = new Date(this.#loaded.expiresAtMs).toISOString();
    const cert = this.#files.certFile;
    if (leftMs <= 0) log.error({ cert, expires }, 'the certificate has expired');
    else log.warn({ cert, expires, days: Math.floor(leftMs / DAY_MS) }, 'the certificate expires soon');
  }
}

async function load(files: ListenerTls): Promise<Loaded> {
  const { certFile, keyFile, minVersion } = files;
  const stamp = await stampOf(files);
  const cert = await pemOf(certFile);
  const key = await pemOf(keyFile);
  try {
    createSecureContext({ cert, key, minVersion });
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown';
    throw new Error(`${pairFault(code)} (${code}): ${certFile}, ${keyFile}`, { cause: error });
  }
  const { fingerprint256, validTo } = new X509Certificate(cert);
  return {
    pair: { cert, key, minVersion },
    fingerprint: fingerprint256,
    expiresAtMs: Date.parse(validTo),
    stamp,
  };
}

async function pemOf(file: string): Promise<string> {
  try {
    const handle = await open(file, OPEN_FLAGS);
    try {
      const facts = await handle.stat();
      const fault = kindFault(facts) ?? (facts.size > PEM_BYTES_LIMIT ? 'it is too large' : undefined);
      if (fault !== undefined) throw new Error(`${file} cannot be read: ${fault}`);
      return await handle.readFile('utf8');
    } finally {
      await handle.close();
    }
  } catch (error) {
    if (!(error instanceof Error && 'code' in error)) throw error;
    throw new Error(`${file} cannot be read (${String(error.code)})`, { cause: error });
  }
}

/** Never rejects: a file that is not there has a stamp too. */
async function stampOf({ certFile, keyFile }: ListenerTls): Promise<string> {
  const stamps = await Promise.all(
    [certFile, keyFile].map(async (file) => {
      try {
        const { dev, ino, size, mtimeNs } = await stat(file, { bigint: true });
        return `${dev}:${ino}:${size}:${mtimeNs}`;
      } catch (error) {
        return error instanceof Error && 'code' in error ? String(error.code) : 'unknown';
      }
    }),
  );
  return stamps.join(' ');
}
