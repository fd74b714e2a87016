import { createSecureContext } from 'node:tls';
import type { buildConnector } from 'undici';
import type { Clock } from '../clock.ts';
import type { UpstreamTls } from '../config.ts';
import { WatchedFile } from './credentials/watched-file.ts';

const PEM_BYTES_LIMIT = 1024 * 1024;
/** A certificate and its key change one after the other: what does not fit is told when it still does not after this. */
const PATIENCE_MS = 2_000;
const PARTS = ['ca', 'cert', 'key'] as const;

export interface TlsFilesOptions {
  readonly clock: Clock;
  /** The files changed and cannot be used; what they held before is used on. Names the file, holds nothing of it. */
  readonly onProblem: (problem: string) => void;
}

/** An upstream's certificates, read again when their files change. */
export class TlsFiles {
  readonly #options: TlsFilesOptions;
  readonly #files: ReadonlyMap<(typeof PARTS)[number], WatchedFile<string>>;
  readonly #closing = new AbortController();
  #current: UpstreamTls;
  /** What is wrong with the files now, since when, and whether that was told. */
  #trouble: { readonly problem: string; readonly sinceMs: number; told: boolean } | undefined;

  constructor(tls: UpstreamTls, options: TlsFilesOptions) {
    this.#current = tls;
    this.#options = options;
    const files = PARTS.flatMap((part) => {
      const path = tls.files?.[part];
      return path === undefined ? [] : [[part, watched(path, options.clock)] as const];
    });
    this.#files = new Map(files);
  }

  /** The same object as long as nothing changed. Never rejects. */
  async current(): Promise<UpstreamTls> {
    try {
      const texts: { [Part in (typeof PARTS)[number]]?: string } = {};
      for (const [part, file] of this.#files) texts[part] = await file.value(this.#closing.signal);
      const known = this.#current;
      if (PARTS.some((part) => texts[part] !== known[part])) {
        usable(texts, known.files);
        this.#current = { ...known, ...texts };
      }
      this.#trouble = undefined;
    } catch (error) {
      if (!this.#closing.signal.aborted) this.#tell(error instanceof Error ? error.message : 'unknown');
    }
    return this.#current;
  }

  close(): void {
    this.#closing.abort(new Error('closed'));
    for (const file of this.#files.values()) file.close();
  }

  #tell(problem: string): void {
    const now = this.#options.clock.monotonic();
    if (this.#trouble?.problem !== problem) this.#trouble = { problem, sinceMs: now, told: false };
    if (this.#trouble.told || now - this.#trouble.sinceMs < PATIENCE_MS) return;
    this.#trouble.told = true;
    this.#options.onProblem(problem);
  }
}

/** A connector that is made anew by `make` for new connections once the files have changed. */
export function renewedConnector(
  files: TlsFiles | undefined,
  tls: UpstreamTls | undefined,
  make: (tls: UpstreamTls | undefined) => buildConnector.connector,
): buildConnector.connector {
  let connector = make(tls);
  if (files === undefined) return connector;
  let known = tls;
  return (options, callback) => {
    void (async () => {
      try {
        const current = await files.current();
        if (current !== known) {
          connector = make(current);
          known = current;
        }
      } catch (error) {
        callback(error instanceof Error ? error : new Error(String(error)), null);
        return;
      }
      connector(options, callback);
    })();
  };
}

function watched(path: string, clock: Clock): WatchedFile<string> {
  return new WatchedFile({
    path,
    clock,
    limitBytes: PEM_BYTES_LIMIT,
    parse: (text) => text,
    fail: (why) => new Error(`${path} ${why}`),
  });
}

/** @throws an Error that names the files */
function usable(texts: Pick<UpstreamTls, 'ca' | 'cert' | 'key'>, files: UpstreamTls['files']): void {
  const names = Object.values(files ?? {}).join(', ');
  if (Object.values(texts).some((text) => text?.includes('-----BEGIN ') === false))
    throw new Error(`a file without PEM text: ${names}`);
  try {
    createSecureContext(texts);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown';
    throw new Error(`no usable certificate and key (${code}): ${names}`, { cause: error });
  }
}
