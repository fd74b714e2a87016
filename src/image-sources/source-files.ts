import { constants } from 'node:fs';
import { type FileHandle, open, readdir, realpath, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { parseEnv } from 'node:util';
import { abortable } from '../abortable.ts';
import type { SourceProblem, SourceText } from './named-image.ts';
import { isSourceName } from './source-kind.ts';
import { expand, type Variables } from './variables.ts';

export interface SourceReading {
  /** What relative paths are relative to. */
  readonly workingDir: string;
  /** What `-` means. Absent: there is none, and pipes are not read either. */
  readonly stdin?: AsyncIterable<Uint8Array> | undefined;
  /** Outranks what `.env` beside a Compose file says. */
  readonly environment: Variables;
}

/** A file's text, and what the variables in it mean. */
export interface SourceFile extends SourceText {
  readonly variables: Variables;
  /** It lies in a directory that was named, and nobody named it. */
  readonly isFound: boolean;
}

const SIZE_LIMIT_BYTES = 16 * 1024 * 1024;
/** Of all files together. */
const TOTAL_LIMIT_BYTES = 256 * 1024 * 1024;
const ENV_LIMIT_BYTES = 1024 * 1024;
const DEPTH_LIMIT = 16;
/** Looked at, in all directories together. */
const ENTRY_LIMIT = 100_000;

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file or directory',
  EACCES: 'permission denied',
  ELOOP: 'its links lead in a circle',
  ENOTDIR: 'there is no such file or directory',
  ENXIO: 'it is neither a file nor a directory',
};

type Found = SourceFile | { readonly problem: SourceProblem };

/** Opens what paths name, one file at a time. */
export class SourceFiles {
  readonly #reading: SourceReading;
  #bytesLeft = TOTAL_LIMIT_BYTES;
  #entriesLeft = ENTRY_LIMIT;
  /** By directory, so that it is read once for all the files in it. */
  readonly #variables = new Map<string, Promise<Variables>>();

  constructor(reading: SourceReading) {
    this.#reading = reading;
  }

  /** @throws the signal's reason */
  async *of(path: string, signal: AbortSignal): AsyncGenerator<Found> {
    const { workingDir, stdin } = this.#reading;
    if (path === '-') {
      yield await this.#read('standard input', workingDir, signal, async () => {
        if (stdin === undefined) throw new Unreadable('there is no standard input here');
        return readAll(stdin, this.#limit(), signal);
      });
      return;
    }
    const place = resolve(workingDir, path);
    try {
      if ((await stat(place)).isDirectory()) {
        yield* this.#directory(path, place, new Set(), 0, signal);
        return;
      }
    } catch (error) {
      yield problemOf(path, error);
      return;
    }
    yield await this.#file(path, place, stdin !== undefined, signal);
  }

  async *#directory(
    name: string,
    place: string,
    above: ReadonlySet<string>,
    depth: number,
    signal: AbortSignal,
  ): AsyncGenerator<Found> {
    signal.throwIfAborted();
    try {
      const real = await realpath(place);
      // A link to a directory that this one is in: all of it is read already.
      if (above.has(real)) return;
      if (depth > DEPTH_LIMIT) throw new Unreadable(`it is more than ${DEPTH_LIMIT} directories deep`);
      const within = new Set([...above, real]);
      const entries = (await readdir(place)).sort();
      const isChart = entries.includes('Chart.yaml');
      for (const entry of entries) {
        this.#entriesLeft -= 1;
        if (this.#entriesLeft < 0) throw new Unreadable(`more than ${ENTRY_LIMIT} files and directories`);
        // A chart's templates are no YAML yet, and hidden directories are programs'.
        if (entry.startsWith('.') || entry === 'node_modules' || (isChart && entry === 'templates')) continue;
        const [entryName, entryPlace] = [join(name, entry), join(place, entry)];
        const facts = await stat(entryPlace).catch(() => undefined);
        if (facts?.isDirectory() === true)
          yield* this.#directory(entryName, entryPlace, within, depth + 1, signal);
        else if (isSourceName(entry)) {
          const file = await this.#file(entryName, entryPlace, false, signal);
          yield 'problem' in file ? file : { ...file, isFound: true };
        }
      }
    } catch (error) {
      if (signal.aborted) throw error;
      yield problemOf(name, error);
    }
  }

  async #file(name: string, place: string, mayBePipe: boolean, signal: AbortSignal): Promise<Found> {
    return this.#read(name, dirname(place), signal, async () => {
      // Opening a pipe must not wait for somebody at its other end.
      const flags = constants.O_RDONLY | (mayBePipe ? 0 : constants.O_NONBLOCK);
      const handle = await open(place, flags);
      try {
        const facts = await handle.stat();
        if (
          !facts.isFile() &&
          !(mayBePipe && (facts.isFIFO() || facts.isSocket() || facts.isCharacterDevice()))
        )
          throw new Unreadable('it is neither a file nor a directory');
        return await readAll(chunksOf(handle), this.#limit(), signal);
      } finally {
        await handle.close();
      }
    });
  }

  async #read(
    name: string,
    directory: string,
    signal: AbortSignal,
    read: () => Promise<Uint8Array>,
  ): Promise<Found> {
    try {
      signal.throwIfAborted();
      // Neither a terminal nor a pipe need ever say anything.
      const bytes = await abortable(read(), signal);
      this.#bytesLeft -= bytes.length;
      return {
        name,
        text: decode(bytes),
        variables: await this.#variablesBeside(directory, signal),
        isFound: false,
      };
    } catch (error) {
      if (signal.aborted) throw error;
      return problemOf(name, error);
    }
  }

  #limit(): number {
    if (this.#bytesLeft <= 0)
      throw new Unreadable(`all files together are more than ${TOTAL_LIMIT_BYTES} bytes`);
    return SIZE_LIMIT_BYTES;
  }

  #variablesBeside(directory: string, signal: AbortSignal): Promise<Variables> {
    const known = this.#variables.get(directory);
    if (known !== undefined) return known;
    const { environment } = this.#reading;
    const read = readEnv(join(directory, '.env'), environment, signal);
    this.#variables.set(directory, read);
    return read;
  }
}

/** Why something is not read; the message is for the user. */
class Unreadable extends Error {}

/** Why something cannot be read, for the user. */
export function problemOf(place: string, error: unknown): { readonly problem: SourceProblem } {
  const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown';
  const message =
    error instanceof Unreadable ? error.message : (REASONS[code] ?? `it cannot be read (${code})`);
  return { problem: { place, message } };
}

async function* chunksOf(handle: FileHandle): AsyncGenerator<Uint8Array> {
  for (;;) {
    const { bytesRead, buffer } = await handle.read(Buffer.allocUnsafe(65_536), 0, 65_536, null);
    if (bytesRead === 0) return;
    yield buffer.subarray(0, bytesRead);
  }
}

async function readAll(
  chunks: AsyncIterable<Uint8Array>,
  limitBytes: number,
  signal: AbortSignal,
): Promise<Uint8Array> {
  const all: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of chunks) {
    signal.throwIfAborted();
    length += chunk.length;
    if (length > limitBytes) throw new Unreadable(`it is larger than ${limitBytes} bytes`);
    all.push(chunk);
  }
  return Buffer.concat(all);
}

/** PowerShell writes UTF-16. */
function decode(bytes: Uint8Array): string {
  const encoding = bytes[0] === 0xff && bytes[1] === 0xfe ? 'utf-16le' : 'utf-8';
  const text = new TextDecoder(encoding).decode(bytes);
  if (text.includes('\0')) throw new Unreadable('it is no text');
  return text;
}

/** Variables in it mean what stands above them, or the environment. One that cannot be read is none. */
async function readEnv(path: string, environment: Variables, signal: AbortSignal): Promise<Variables> {
  try {
    const handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      if (!(await handle.stat()).isFile()) return environment;
      const written = parseEnv(decode(await readAll(chunksOf(handle), ENV_LIMIT_BYTES, signal)));
      const variables: Record<string, string | undefined> = { ...environment };
      for (const [name, value = ''] of Object.entries(written)) {
        if (environment[name] !== undefined) continue;
        const expanded = expand(value, variables, '$$');
        variables[name] = 'problem' in expanded ? value : expanded.text;
      }
      return variables;
    } finally {
      await handle.close();
    }
  } catch (error) {
    if (signal.aborted) throw error;
    return environment;
  }
}
