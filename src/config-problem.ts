import { closest, distance } from 'fastest-levenshtein';

/** One thing that is wrong with the configuration. */
export interface ConfigProblem {
  /** The key path, `upstreams.docker.io.tagTtl`; the variable's or the file's name where the fault is there. */
  readonly path: string;
  /** What stands there, as JSON and cut short. Absent where it may be a secret, or where nothing stands. */
  readonly value?: string | undefined;
  /** What is accepted. */
  readonly message: string;
}

/** Everything that is wrong with the configuration at once. Nothing of it holds a secret. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly problems: readonly ConfigProblem[];

  constructor(problems: readonly ConfigProblem[]) {
    super(problems.map(printProblem).join('\n'));
    this.problems = problems;
  }
}

export function printProblem({ path, value, message }: ConfigProblem): string {
  return `${path}: ${value === undefined ? '' : `${value}: `}${message}`;
}

const VALUE_LENGTH_LIMIT = 100;
const SECRET_KEY = /token|passw|secret|auth|credential/i;

/**
 * How a value is shown. Under a key that may hold a secret nothing is; of lists and mappings only what they are, for a
 * secret may be anywhere in them; of URLs neither credentials nor query.
 */
export function shownValue(path: readonly string[], value: unknown): string | undefined {
  if (value === undefined || value === null) return undefined;
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object') return 'a mapping';
  if (typeof value !== 'string' && typeof value !== 'number' && typeof value !== 'boolean') return undefined;
  const last = path.at(-1) ?? '';
  if (SECRET_KEY.test(/^\d+$/.test(last) ? (path.at(-2) ?? '') : last) && !last.endsWith('File'))
    return '***';
  if (typeof value !== 'string') return String(value);
  if (value.includes('-----BEGIN')) return '***';
  const bare = value.replace(/((?:[a-z][a-z\d+.-]*:\/\/)?)\S*@/gi, '$1***@').replace(/[?#].*$/s, '?***');
  return JSON.stringify(bare.length > VALUE_LENGTH_LIMIT ? `${bare.slice(0, VALUE_LENGTH_LIMIT)}…` : bare);
}

/** What to say of a name that is not one of `known`: the nearest when it looks like a slip, else all of them. */
export function nearest(name: string, known: readonly string[]): string {
  const guess = known.length === 0 ? undefined : closest(name, known);
  if (guess === undefined) return 'nothing is known here';
  if (distance(name, guess) <= Math.max(2, Math.floor(guess.length / 2))) return `did you mean ${guess}?`;
  return `the nearest known one is ${guess}, all of them are ${known.join(', ')}`;
}

/** Collects problems while a configuration is read, so that all are reported together. */
export class Problems {
  readonly #found: (ConfigProblem & { readonly key: string })[] = [];
  readonly #sources: ReadonlyMap<string, string>;

  /** `sources`: key path → the environment variable that gave its value. */
  constructor(sources: ReadonlyMap<string, string>) {
    this.#sources = sources;
  }

  add(path: readonly string[], message: string, value?: unknown): void {
    const key = path.join('.');
    const shown = this.#sources.get(key) ?? (key === '' ? 'the file' : key);
    this.#found.push({ key, path: shown, value: shownValue(path, value), message });
  }

  /** Like `add`, for a fault that follows from a key's value: kept back where that key is already reported. */
  addDerived(path: readonly string[], message: string, value?: unknown): void {
    const key = path.join('.');
    const told = this.#found.some(
      (problem) =>
        problem.key === key || problem.key.startsWith(`${key}.`) || key.startsWith(`${problem.key}.`),
    );
    if (!told) this.add(path, message, value);
  }

  /** @throws ConfigError when there is any. */
  throwIfAny(): void {
    if (this.#found.length === 0) return;
    throw new ConfigError(
      this.#found.map(({ path, value, message }) => ({
        path,
        message,
        ...(value !== undefined && { value }),
      })),
    );
  }
}
