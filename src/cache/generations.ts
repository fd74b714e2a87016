import type { Digest } from '../oci/digest.ts';

/** The file that a digest names just now, as those know it who read from it. */
export interface Generation {
  /** Another file, or none, has taken its place: what is wrong with this one says nothing about that. */
  readonly isOver: boolean;
  /** To be called once by each who entered. */
  leave(): void;
}

/** Tells whoever reads from a file whether it is still the one that would be opened now. Holds only what is being read. */
export class Generations {
  readonly #current = new Map<Digest, { isOver: boolean; readers: number }>();

  enter(digest: Digest): Generation {
    let state = this.#current.get(digest);
    if (state === undefined) this.#current.set(digest, (state = { isOver: false, readers: 0 }));
    const entered = state;
    entered.readers += 1;
    return {
      get isOver() {
        return entered.isOver;
      },
      leave: () => {
        entered.readers -= 1;
        if (entered.readers === 0 && this.#current.get(digest) === entered) this.#current.delete(digest);
      },
    };
  }

  /** The file was replaced or removed. */
  end(digest: Digest): void {
    const state = this.#current.get(digest);
    if (state === undefined) return;
    state.isOver = true;
    this.#current.delete(digest);
  }
}
