import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Clock } from '../clock.ts';
import type { ForgettingPlace, MetadataStore } from '../metadata/metadata-store.ts';
import { Rounds } from './rounds.ts';

export interface ForgettingParts {
  readonly metadata: Pick<MetadataStore, 'forgetUnstored' | 'lastPlace'>;
  readonly clock: Clock;
  /** False while nothing may be written. */
  readonly canWrite: () => boolean;
  readonly onFailure: (cause: unknown) => void;
}

const INTERVAL_MS = 3_600_000;
/** What a tag meant is worth keeping for as long as anybody polls it, stored or not. */
const KEPT_MS = 30 * 24 * 3_600_000;
const START: ForgettingPlace = { content: 0, repository: 0 };

/**
 * Keeps the index as small as what is stored: else it would know every digest that was ever pulled. What came since the
 * last round is left alone, since it may be on its way in.
 */
export class Forgetting {
  readonly #parts: ForgettingParts;
  readonly #rounds: Rounds;
  #until: ForgettingPlace | undefined;

  constructor(parts: ForgettingParts) {
    this.#parts = parts;
    this.#rounds = new Rounds(parts.clock, INTERVAL_MS, (signal) => this.#round(signal));
  }

  async begin(): Promise<void> {
    this.#until = await this.#lastPlace();
    this.#rounds.begin();
  }

  close(): Promise<void> {
    return this.#rounds.close();
  }

  async #round(signal: AbortSignal): Promise<void> {
    const { metadata, clock, canWrite, onFailure } = this.#parts;
    const until = this.#until;
    this.#until = await this.#lastPlace();
    if (until === undefined) return;
    const before = clock.now() - KEPT_MS;
    try {
      for (let after: ForgettingPlace | undefined = START; after !== undefined;) {
        if (signal.aborted || !canWrite()) return;
        ({ next: after } = await metadata.forgetUnstored({ after, until, before }));
        await nextTurn();
      }
    } catch (cause) {
      onFailure(cause);
    }
  }

  async #lastPlace(): Promise<ForgettingPlace | undefined> {
    try {
      return await this.#parts.metadata.lastPlace();
    } catch (cause) {
      this.#parts.onFailure(cause);
      return undefined;
    }
  }
}
