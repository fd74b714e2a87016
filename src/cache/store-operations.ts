import type { Reference, RepositoryName } from '../oci/reference.ts';
import type {
  EvictEvent,
  ImageEntry,
  PinChange,
  PinEntry,
  PurgeEvent,
  StoreStatus,
  VerifyEvent,
} from './store-events.ts';

/** An image, all of a repository, or all of an upstream; with nothing, everything. */
export interface ImageSelection {
  readonly upstream?: string | undefined;
  /** Only with an upstream. */
  readonly repository?: RepositoryName | undefined;
  /** Only with a repository. */
  readonly reference?: Reference | undefined;
}

/**
 * What an operator may ask of a store, whether it runs here (LocalOperations) or in the server that holds the directory.
 * What goes on for long is told as it goes; its last event is `done`. All fail with StoreOperationError, or with the
 * signal's reason; what was done until then stays done. Every implementation passes test/cache's contract suite.
 */
export interface StoreOperations {
  status(signal: AbortSignal): Promise<StoreStatus>;
  /** In no order that means anything. Of a selection that nothing fits: `not-found`. */
  images(selection: ImageSelection, signal: AbortSignal): AsyncIterable<ImageEntry>;
  /** Forgets, then removes what no repository holds any more. A pull that runs is not disturbed: it may bring it back. */
  purge(
    selection: ImageSelection,
    options: { readonly dryRun: boolean },
    signal: AbortSignal,
  ): AsyncIterable<PurgeEvent>;
  /** Reads every file of it and compares its digest. What is damaged is set aside, and fetched again when it is asked for. */
  verify(selection: ImageSelection, signal: AbortSignal): AsyncIterable<VerifyEvent>;
  /** Gives up what was used least until no more than `toBytes` are stored, or only pinned content is left. */
  evict(
    options: { readonly toBytes: number; readonly dryRun: boolean },
    signal: AbortSignal,
  ): AsyncIterable<EvictEvent>;
  /** @param text a pattern as parseImagePattern takes it; of something that is not cached, too */
  pin(text: string, signal: AbortSignal): Promise<PinChange>;
  unpin(text: string, signal: AbortSignal): Promise<PinChange>;
  pins(signal: AbortSignal): Promise<readonly PinEntry[]>;
}
