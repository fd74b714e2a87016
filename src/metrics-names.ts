/** Statuses that get a series of their own; the others are counted as their class, such as `5xx`. */
const CODES: ReadonlySet<number> = new Set([
  200, 204, 206, 301, 302, 303, 304, 307, 308, 400, 401, 403, 404, 405, 406, 408, 413, 414, 416, 421, 429,
  431, 499, 500, 501, 502, 503, 504, 507,
]);

/** Names that may be labels: those of the configuration. Whatever comes from outside is `other`. */
export class ClosedNames {
  #names: ReadonlySet<string>;

  constructor(names: readonly string[]) {
    this.#names = new Set(names);
  }

  /** From now on these are configured. @returns those that were, and are no more */
  replace(names: readonly string[]): readonly string[] {
    const gone = [...this.#names].filter((name) => !names.includes(name));
    this.#names = new Set(names);
    return gone;
  }

  /** Whether it is configured. What stands is shown of those alone: nobody would ever take `other` back. */
  has(name: string): boolean {
    return this.#names.has(name);
  }

  /** For what is counted. */
  label(name: string): string {
    return this.#names.has(name) ? name : 'other';
  }
}

/** Whether a status is a label of its own. */
export function isOwnCode(status: number): boolean {
  return CODES.has(status);
}

/** `none`: there was no answer. */
export function codeLabel(status: number | undefined): string {
  if (status === undefined) return 'none';
  if (CODES.has(status)) return String(status);
  return status >= 100 && status < 500 ? `${Math.floor(status / 100)}xx` : '5xx';
}
