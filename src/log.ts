/** What a line says besides its message. Keys that name a secret are masked, whoever logs them. */
export type LogFacts = Readonly<Record<string, unknown>>;

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

/** What every layer takes injected. Never throws, never waits. */
export interface Log {
  debug(facts: LogFacts, message: string): void;
  info(facts: LogFacts, message: string): void;
  warn(facts: LogFacts, message: string): void;
  error(facts: LogFacts, message: string): void;
}

/** Where lines go; each `write` is one line with its end. */
export interface LogDestination {
  write(line: string): void;
}

/**
 * The process's standard output, written in the background so that a slow reader of it delays no pull. Lines are there
 * within a tenth of a second.
 */
export interface StandardOutputLog extends LogDestination {
  /** Writes what is still in memory; for the last moment before the process ends. Never throws. */
  flushSync(): void;
}

/** A log whose level may change while it is used. */
export interface AdjustableLog extends Log {
  /** From the next line on. */
  setLevel(level: LogLevel): void;
}

/** An error as it may be logged: no stack unless asked for, no credential, no query. */
export interface ErrorFacts {
  readonly name: string;
  readonly message: string;
  readonly reason?: string;
  readonly code?: string;
  /** What lies behind it, outermost first. */
  readonly causes?: readonly string[];
  readonly stack?: string;
}

const CAUSE_COUNT_LIMIT = 8;

/** `stack`: for our own bugs, where the place matters. Takes whatever was thrown. */
export function errorFacts(error: unknown, options: { readonly stack?: boolean } = {}): ErrorFacts {
  if (!(error instanceof Error)) return { name: 'Thrown', message: safeText(describe(error)) };
  const causes = causesOf(error);
  return {
    name: error.name,
    message: safeText(error.message),
    ...text('reason', error),
    ...text('code', error),
    ...(causes.length > 0 && { causes }),
    ...(options.stack === true && error.stack !== undefined && { stack: safeText(error.stack) }),
  };
}

/**
 * Text without what may be a secret in it: URLs lose user and query, `Authorization` values all but their scheme.
 * For messages of other people's code; ours hold none in the first place.
 */
export function safeText(value: string): string {
  if (!/[:?]|\b(?:Bearer|Basic)\b/i.test(value)) return value;
  return value
    .replace(/([a-z][a-z0-9+.-]*:\/\/)[^\s/?#"'<>]*@/gi, '$1')
    .replace(/([a-z][a-z0-9+.-]*:\/\/[^\s?"'<>]*)\?[^\s"'<>]*/gi, '$1')
    .replace(/\?[^\s"'<>=]+=[^\s"'<>]*/g, '')
    .replace(/\b(Bearer|Basic)\s+[A-Za-z0-9._~+/=-]{16,}/gi, '$1 [redacted]');
}

function causesOf(error: Error): readonly string[] {
  const causes: string[] = [];
  const waiting: unknown[] = inner(error);
  while (waiting.length > 0 && causes.length < CAUSE_COUNT_LIMIT) {
    const cause = waiting.shift();
    if (!(cause instanceof Error)) {
      causes.push(safeText(describe(cause)));
      continue;
    }
    const { code } = text('code', cause);
    const said =
      code === undefined || cause.message.includes(code) ? cause.message : `${code}: ${cause.message}`;
    causes.push(safeText(said === '' ? cause.name : said));
    waiting.push(...inner(cause));
  }
  return causes;
}

function inner(error: Error): unknown[] {
  const several: readonly unknown[] = error instanceof AggregateError ? error.errors : [];
  return [...several, ...(error.cause === undefined ? [] : [error.cause])];
}

function text<Key extends string>(key: Key, error: Error): { readonly [name in Key]?: string } {
  const value: unknown = (error as unknown as Record<string, unknown>)[key];
  return typeof value === 'string' || typeof value === 'number'
    ? ({ [key]: String(value) } as { readonly [name in Key]: string })
    : {};
}

function describe(value: unknown): string {
  if (typeof value === 'string') return value;
  return typeof value === 'object' && value !== null ? 'an object' : String(value);
}

const SECRET = /authorization|password|passwd|secret|token|cookie|credential/i;
/** Keys are few and fixed, so what each of them is gets remembered; bounded, should a caller make keys up. */
const verdicts = new Map<string, boolean>();
const VERDICT_COUNT_LIMIT = 1000;
const DEPTH_LIMIT = 5;

function isSecret(key: string): boolean {
  const known = verdicts.get(key);
  if (known !== undefined) return known;
  const secret = SECRET.test(key);
  if (verdicts.size < VERDICT_COUNT_LIMIT) verdicts.set(key, secret);
  return secret;
}

/** The facts as they are written: what a key calls a secret is masked, and nothing is deeper than anybody reads. */
export function redactedFacts(facts: LogFacts): Record<string, unknown> {
  return redacted(facts, 0);
}

function redacted(facts: LogFacts, depth: number): Record<string, unknown> {
  const out: Record<string, unknown> = {};
  for (const key of Object.keys(facts)) {
    const value = facts[key];
    out[key] = isSecret(key) && value !== undefined ? '[redacted]' : redactedValue(value, depth);
  }
  return out;
}

function redactedValue(value: unknown, depth: number): unknown {
  if (typeof value === 'string') return value.includes('://') ? safeText(value) : value;
  if (typeof value !== 'object' || value === null) return value;
  if (depth >= DEPTH_LIMIT) return '[deeper]';
  if (value instanceof Error) return errorFacts(value);
  if (Array.isArray(value)) return value.map((item) => redactedValue(item, depth + 1));
  const plain = Object.getPrototypeOf(value) === Object.prototype;
  return plain ? redacted(value as LogFacts, depth + 1) : '[object]';
}
