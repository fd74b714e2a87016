/**
 * Holds whoever passes until it is opened, and tells a test when enough have come: the way to order concurrent
 * work without sleeping. Once open it holds nobody, until `shut` is called.
 */
export class Gate {
  #open = false;
  #arrivals = 0;
  readonly #held = new Set<() => void>();
  readonly #watchers = new Set<() => void>();

  /** How many have come so far, held or not. */
  get arrivals(): number {
    return this.#arrivals;
  }

  /** How many are held now. */
  get waiting(): number {
    return this.#held.size;
  }

  /** Resolves when the gate is open, or when `signal` aborts (it never rejects: who left just goes on). */
  async pass(signal?: AbortSignal): Promise<void> {
    this.#arrivals += 1;
    for (const watcher of this.#watchers) watcher();
    if (this.#open || signal?.aborted === true) return;
    await new Promise<void>((resolve) => {
      const leave = (): void => {
        this.#held.delete(leave);
        signal?.removeEventListener('abort', leave);
        resolve();
      };
      this.#held.add(leave);
      signal?.addEventListener('abort', leave);
    });
  }

  /** Resolves once `count` have come since the gate was made; at once if they already have. */
  async arrived(count = 1): Promise<void> {
    if (this.#arrivals >= count) return;
    await new Promise<void>((resolve) => {
      const watcher = (): void => {
        if (this.#arrivals < count) return;
        this.#watchers.delete(watcher);
        resolve();
      };
      this.#watchers.add(watcher);
    });
  }

  /** Lets everybody through, now and later. */
  open(): void {
    this.#open = true;
    for (const leave of this.#held) leave();
  }

  /** Holds again whoever comes from now on. */
  shut(): void {
    this.#open = false;
  }
}
