import { abortable } from './abortable.ts';
import { StoreOperationError } from './cache/store-operation-error.ts';
import { configChange } from './config-change.ts';
import { type ConfigDocument, documentOf } from './config-document.ts';
import { type Config, ConfigError, type LoadedConfig, printProblem } from './config.ts';
import { errorFacts, type Log } from './log.ts';
import type { Metrics } from './metrics.ts';
import type { ReloadOperations, ReloadResult } from './reload-operations.ts';

/** A part of the server that can go by another configuration. */
export interface RenewablePart {
  /**
   * Does all of it that may fail; nothing holds yet.
   * @throws an Error with one sentence
   */
  renew(config: Config): Promise<Renewal> | Renewal;
}

/** One of the two is called, once. */
export interface Renewal {
  /** Has it hold before it returns; what it gives is over when the rest is done. Fails with a fault of this program only. */
  commit(): unknown;
  /** It never will. Absent: nothing was opened for it. */
  discard?(): void;
}

/** The configuration that holds, and where the next one is read. */
export interface ConfigSourceParts {
  readonly loaded: LoadedConfig;
  /** @throws ConfigError with every fault of it */
  readonly read: () => LoadedConfig;
}

export interface ReloadParts {
  readonly log: Log;
  readonly metrics: Pick<Metrics, 'reloads'>;
  /** Absent: there is nothing to read again. */
  readonly source: ConfigSourceParts | undefined;
  /** Told of the configuration that is about to hold. */
  readonly onConfig: (config: Config) => void;
  /** Readied one after the other, and made to hold together. */
  readonly parts: readonly RenewablePart[];
}

/**
 * Takes the configuration again: read and checked as a whole, readied as a whole, and made to hold in one turn of the
 * event loop, or not at all. One reload at a time; those that are asked for while one runs are one, which reads the file
 * after all of them came.
 */
export class Reload implements ReloadOperations {
  readonly #parts: ReloadParts;
  #loaded: LoadedConfig | undefined;
  #document: { readonly of: LoadedConfig; readonly document: ConfigDocument } | undefined;
  #running: Promise<ReloadResult> | undefined;
  #next: Promise<ReloadResult> | undefined;
  #isClosed = false;

  constructor(parts: ReloadParts) {
    this.#parts = parts;
    this.#loaded = parts.source?.loaded;
  }

  /** Goes on when the signal aborts. */
  async reload(signal: AbortSignal): Promise<ReloadResult> {
    signal.throwIfAborted();
    return abortable(this.#soon(), signal);
  }

  async config(signal: AbortSignal): Promise<ConfigDocument> {
    signal.throwIfAborted();
    const loaded = this.#loaded;
    if (loaded === undefined) return Promise.resolve({ settings: [] });
    if (this.#document?.of !== loaded) this.#document = { of: loaded, document: documentOf(loaded) };
    return Promise.resolve(this.#document.document);
  }

  /** None begins any more; waits for the one that runs. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await Promise.allSettled([this.#running, this.#next]);
  }

  #soon(): Promise<ReloadResult> {
    if (this.#next !== undefined) return this.#next;
    if (this.#running === undefined) return this.#begin();
    return (this.#next = this.#running
      .catch(() => undefined)
      .then(() => {
        this.#next = undefined;
        return this.#begin();
      }));
  }

  #begin(): Promise<ReloadResult> {
    const running = this.#run().finally(() => {
      if (this.#running === running) this.#running = undefined;
    });
    // Whoever asked may have gone.
    running.catch(() => undefined);
    this.#running = running;
    return running;
  }

  async #run(): Promise<ReloadResult> {
    const { log, metrics, source, onConfig } = this.#parts;
    if (this.#isClosed) throw closing();
    const before = this.#loaded;
    if (source === undefined || before === undefined)
      throw new StoreOperationError('invalid', 'there is no configuration that could be read again');
    const { loaded, keys } = this.#read(source, before);
    const renewals = await this.#renewals(loaded.config);
    if (this.#isClosed) {
      for (const renewal of renewals) renewal.discard?.();
      throw closing();
    }
    this.#loaded = loaded;
    onConfig(loaded.config);
    try {
      // All of them before the first wait: no request sees one and not the other.
      const commits = renewals.map((renewal) => renewal.commit());
      await Promise.all(commits);
    } catch (error) {
      metrics.reloads.failed();
      log.error({ error: errorFacts(error, { stack: true }) }, 'a new configuration holds in part only');
      throw error;
    }
    metrics.reloads.done();
    const { file } = loaded;
    if (keys.length === 0) log.info({ file }, 'the configuration was read again: nothing is other');
    else log.info({ file, changed: keys }, 'the configuration was read again: what changed holds');
    return { changed: keys };
  }

  /** @throws StoreOperationError `invalid` */
  #read(
    source: ConfigSourceParts,
    before: LoadedConfig,
  ): { readonly loaded: LoadedConfig; readonly keys: readonly string[] } {
    let loaded: LoadedConfig;
    try {
      loaded = source.read();
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      throw this.#refusal(error.problems.map(printProblem));
    }
    const { keys, needRestart } = configChange(before, loaded);
    if (needRestart.length > 0)
      throw this.#refusal(needRestart.map((key) => `${key}: cannot change without a restart`));
    return { loaded, keys };
  }

  async #renewals(config: Config): Promise<readonly Renewal[]> {
    const renewals: Renewal[] = [];
    try {
      for (const part of this.#parts.parts) renewals.push(await part.renew(config));
    } catch (error) {
      for (const renewal of renewals) renewal.discard?.();
      throw this.#refusal([error instanceof Error ? error.message : 'unknown']);
    }
    return renewals;
  }

  #refusal(problems: readonly string[]): StoreOperationError {
    const { log, metrics } = this.#parts;
    metrics.reloads.refused();
    log.error({ problems }, 'the new configuration is refused: the old one holds');
    const list = problems.join('\n  ');
    return new StoreOperationError(
      'invalid',
      `the configuration is refused, and nothing changed:\n  ${list}`,
    );
  }
}

function closing(): StoreOperationError {
  return new StoreOperationError('failed', 'entrepot is shutting down');
}
