import type { ConfigDocument } from './config-document.ts';

/** What a reload did. */
export interface ReloadResult {
  /** Keys of the configuration that are other than before, in full (`upstreams.docker.io.auth`), and hold now. */
  readonly changed: readonly string[];
}

/** Has the running server take its configuration again. */
export interface ReloadOperations {
  /**
   * Reads the configuration, checks it as a whole, and has what changed hold; one reload at a time.
   * @throws StoreOperationError `invalid`, nothing changed: with every fault of the file, or with the names of the keys
   * that cannot change without a restart
   */
  reload(signal: AbortSignal): Promise<ReloadResult>;
  /** The configuration that holds, without a secret. */
  config(signal: AbortSignal): Promise<ConfigDocument>;
}
