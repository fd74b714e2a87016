/** Items in the order in which they were put in, and how many bytes they are. */
export class Queue {
  readonly #sizes = new Map<number, number>();
  #bytes = 0;

  get bytes(): number {
    return this.#bytes;
  }

  get count(): number {
    return this.#sizes.size;
  }

  has(item: number): boolean {
    return this.#sizes.has(item);
  }

  /** At the end, also when it is there already. */
  push(item: number, sizeBytes: number): void {
    this.delete(item);
    this.#sizes.set(item, sizeBytes);
    this.#bytes += sizeBytes;
  }

  delete(item: number): boolean {
    this.#bytes -= this.#sizes.get(item) ?? 0;
    return this.#sizes.delete(item);
  }

  first(): number | undefined {
    return this.#sizes.keys().next().value;
  }

  shift(): number | undefined {
    const first = this.first();
    if (first !== undefined) this.delete(first);
    return first;
  }
}
