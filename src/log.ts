import { pino, stdTimeFunctions } from 'pino';
import { prettyFactory } from 'pino-pretty';

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

export interface LogOptions {
  readonly level: LogLevel;
  /** True: for people at a terminal; false: one JSON object a line. */
  readonly pretty: boolean;
  readonly destination: LogDestination;
}

/** Lines that a blocked standard output may leave waiting in memory; what comes on top is dropped. */
const WAITING_BYTES_LIMIT = 16 * 1024 * 1024;

/** A write of its own for each line wakes a thread for each: lines are gathered so long, or until they are so much. */
const BATCH_MS = 100;
const BATCH_LENGTH = 8 * 1024;

export function createLog({ level, pretty, destination }: LogOptions): AdjustableLog {
  const format = pretty
    ? prettyFactory({ colorize: true, translateTime: 'SYS:HH:MM:ss.l', singleLine: true })
    : undefined;
  const logger = pino(
    {
      level,
      base: null,
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }), log: (facts) => redacted(facts, 0) },
    },
    format === undefined ? destination : { write: (line: string) => destination.write(format(line)) },
  );
  return {
    debug: (facts, message) => logger.debug(facts, message),
    info: (facts, message) => logger.info(facts, message),
    warn: (facts, message) => logger.warn(facts, message),
    error: (facts, message) => logger.error(facts, message),
    setLevel: (wanted) => {
      logger.level = wanted;
    },
  };
}

export function standardOutputLog(): StandardOutputLog {
  const stream = pino.destination({ fd: 1, sync: false, maxLength: WAITING_BYTES_LIMIT });
  // A reader that went away (EPIPE) must not take the server down.
  stream.on('error', () => undefined);
  // Not the stream's own minLength and periodicFlush: that writes nothing ten times a second while nothing happens.
  let gathered = '';
  let timer: NodeJS.Timeout | undefined;
  const send = (): void => {
    clearTimeout(timer);
    timer = undefined;
    if (gathered !== '') stream.write(gathered);
    gathered = '';
  };
  return {
    write: (line) => {
      gathered += line;
      if (gathered.length >= BATCH_LENGTH) send();
      else timer ??= setTimeout(send, BATCH_MS);
    },
    flushSync: () => {
      send();
      try {
        stream.flushSync();
      } catch {
        // Not open yet, or its reader is gone: there is nowhere left to say so.
      }
    },
  };
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
