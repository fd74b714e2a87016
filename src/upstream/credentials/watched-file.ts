import { open, stat } from 'node:fs/promises';
import { abortable } from '../../abortable.ts';
import type { Clock } from '../../clock.ts';
import { kindFault, OPEN_FLAGS } from '../../config-file-text.ts';
import { Deadline } from '../deadline.ts';
import { closedError } from './credential-place.ts';

/** How often it is looked whether the file changed, at most. */
const LOOK_INTERVAL_MS = 1_000;
/** A file on a network that is away must not hold a pull up for longer. */
const DEADLINE_MS = 5_000;
const READABLE_BY_OTHERS = 0o004;

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  ENOTDIR: 'there is no such file',
  EACCES: 'permission denied',
  EPERM: 'permission denied',
  ENXIO: 'it is not a regular file',
};

interface Reading<Value> {
  /** Tells whether the file may have changed. */
  readonly mark: string;
  readonly text: string;
  readonly isWorldReadable: boolean;
  readonly value: Value;
}

export interface WatchedFileOptions<Value> {
  readonly path: string;
  readonly limitBytes: number;
  readonly clock: Clock;
  /** What the file's text means. Throws what `value` is to throw. */
  readonly parse: (text: string, file: { readonly isWorldReadable: boolean }) => Value;
  /** The error for a file that cannot be read; `why` names no path. */
  readonly fail: (why: string) => Error;
}

/**
 * A small file's meaning, read when first asked for and again when the file has changed, which is looked after once a
 * second at most. A file that was only written again has the same value, as an object too. Concurrent calls share one
 * look. What fails is thrown until the next look.
 */
export class WatchedFile<Value> {
  readonly #options: WatchedFileOptions<Value>;
  readonly #closing = new AbortController();
  #known: Reading<Value> | undefined;
  #failure: { readonly error: unknown } | undefined;
  #lookedAtMs = -Infinity;
  #looking: Promise<Value> | undefined;

  constructor(options: WatchedFileOptions<Value>) {
    this.#options = options;
  }

  /** @throws what `parse` or `fail` gives; the signal's reason */
  async value(signal: AbortSignal): Promise<Value> {
    this.#closing.signal.throwIfAborted();
    if (this.#options.clock.monotonic() - this.#lookedAtMs < LOOK_INTERVAL_MS) {
      if (this.#failure !== undefined) throw this.#failure.error;
      if (this.#known !== undefined) return this.#known.value;
    }
    this.#looking ??= this.#look().finally(() => {
      this.#looking = undefined;
    });
    return abortable(this.#looking, signal);
  }

  /** Reads the file at once, for `tell` to say what is wrong with it before anybody needs it. */
  begin(tell: (problem: string) => void): void {
    this.value(this.#closing.signal).catch((error: unknown) => {
      if (!this.#closing.signal.aborted && error instanceof Error) tell(error.message);
    });
  }

  /** The next look reads the file even where it seems unchanged. */
  distrust(): void {
    if (this.#known !== undefined) this.#known = { ...this.#known, mark: '' };
  }

  close(): void {
    this.#closing.abort(closedError());
  }

  async #look(): Promise<Value> {
    const { clock, fail } = this.#options;
    const deadline = new Deadline({ clock, ms: DEADLINE_MS, message: 'timeout' }, this.#closing.signal);
    try {
      this.#known = await abortable(this.#read(), deadline.signal);
      this.#failure = undefined;
      return this.#known.value;
    } catch (error) {
      this.#closing.signal.throwIfAborted();
      this.#known = undefined;
      const isLate = deadline.signal.aborted && error === deadline.signal.reason;
      this.#failure = { error: isLate ? fail('cannot be read: it takes too long') : error };
      throw this.#failure.error;
    } finally {
      deadline.close();
      this.#lookedAtMs = clock.monotonic();
    }
  }

  async #read(): Promise<Reading<Value>> {
    const { path, limitBytes, parse, fail } = this.#options;
    let text: string;
    let mark: string;
    let mode: number;
    try {
      // Follows links, which Kubernetes moves to change a mounted secret.
      const facts = await stat(path);
      ({ mode } = facts);
      mark = [facts.ino, facts.size, facts.mtimeMs, facts.ctimeMs, mode].join();
      if (this.#known?.mark === mark) return this.#known;
      const fault = kindFault(facts);
      if (fault !== undefined) throw fail(`cannot be read: ${fault}`);
      if (facts.size > limitBytes) throw fail(`cannot be read: it is larger than ${limitBytes} bytes`);
      const reading = await readUpTo(path, limitBytes);
      if ('fault' in reading) throw fail(`cannot be read: ${reading.fault}`);
      ({ text } = reading);
    } catch (error) {
      const code = error instanceof Error && 'code' in error ? String(error.code) : undefined;
      throw code === undefined ? error : fail(`cannot be read: ${REASONS[code] ?? code}`);
    }
    const isWorldReadable = (mode & READABLE_BY_OTHERS) !== 0;
    const known = this.#known;
    if (known?.text === text && known.isWorldReadable === isWorldReadable) return { ...known, mark };
    return { mark, text, isWorldReadable, value: parse(text, { isWorldReadable }) };
  }
}

async function readUpTo(
  path: string,
  limitBytes: number,
): Promise<{ readonly text: string } | { readonly fault: string }> {
  const file = await open(path, OPEN_FLAGS);
  try {
    // It may be another one than was looked at.
    const fault = kindFault(await file.stat());
    if (fault !== undefined) return { fault };
    const buffer = Buffer.alloc(limitBytes);
    let length = 0;
    for (;;) {
      const { bytesRead } = await file.read(buffer, length, limitBytes - length, length);
      if (bytesRead === 0) return { text: buffer.toString('utf8', 0, length) };
      length += bytesRead;
    }
  } finally {
    await file.close();
  }
}
