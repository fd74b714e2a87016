import type { Clock } from '../clock.ts';
import type { Digest } from '../oci/digest.ts';

/** After the last word of whoever brings images, what it brought is as good as anything else. */
const SPARED_MS = 60_000;
/** Beyond it what is brought is not spared: bounds the memory, and what a search for victims passes over. */
const COUNT_LIMIT = 100_000;

/**
 * What an import brought or found here: it is not given up while the import goes on, whatever room it needs, since an
 * image is worth nothing without its first layers.
 */
export class SparedContents {
  readonly #clock: Clock;
  readonly #digests = new Set<Digest>();
  #until = -Infinity;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  add(digest: Digest): void {
    this.#forgetOld();
    if (this.#digests.size < COUNT_LIMIT) this.#digests.add(digest);
    this.keepOn();
  }

  /** The import goes on. */
  keepOn(): void {
    this.#until = this.#clock.monotonic() + SPARED_MS;
  }

  has(digest: Digest): boolean {
    this.#forgetOld();
    return this.#digests.has(digest);
  }

  get count(): number {
    this.#forgetOld();
    return this.#digests.size;
  }

  #forgetOld(): void {
    if (this.#digests.size > 0 && this.#clock.monotonic() >= this.#until) this.#digests.clear();
  }
}
