/** Headers of an answer, by lower-case name. */
export class ResponseHeaders {
  readonly #values: ReadonlyMap<string, readonly string[]>;

  constructor(headers: Record<string, string | string[] | undefined>) {
    this.#values = new Map(
      Object.entries(headers).map(([name, value]) => [
        name.toLowerCase(),
        value === undefined ? [] : typeof value === 'string' ? [value] : value,
      ]),
    );
  }

  /** Every line of that name, in order; empty when there is none. */
  all(name: string): readonly string[] {
    return this.#values.get(name) ?? [];
  }

  /** The value when there is exactly one, or several that are equal; `undefined` when there is none or they differ. */
  one(name: string): string | undefined {
    const values = this.all(name);
    return new Set(values).size === 1 ? values[0] : undefined;
  }

  /** `Content-Length` in bytes; `undefined` when absent or not a length. */
  contentLength(): number | undefined {
    const text = this.one('content-length');
    if (text === undefined || !/^\d{1,15}$/.test(text)) return undefined;
    return Number(text);
  }
}
