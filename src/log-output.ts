import { pino, stdTimeFunctions } from 'pino';
import {
  type AdjustableLog,
  type LogDestination,
  type LogLevel,
  redactedFacts,
  type StandardOutputLog,
} from './log.ts';

export interface LogOptions {
  readonly level: LogLevel;
  /** Makes of a line, one JSON object, what is written in its place. Absent: the line as it is. */
  readonly format?: ((line: string) => string) | undefined;
  readonly destination: LogDestination;
}

/** Lines that a blocked standard output may leave waiting in memory; what comes on top is dropped. */
const WAITING_BYTES_LIMIT = 16 * 1024 * 1024;

/** A write of its own for each line wakes a thread for each: lines are gathered so long, or until they are so much. */
const BATCH_MS = 100;
const BATCH_LENGTH = 8 * 1024;

export function createLog({ level, format, destination }: LogOptions): AdjustableLog {
  const logger = pino(
    {
      level,
      base: null,
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }), log: redactedFacts },
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
