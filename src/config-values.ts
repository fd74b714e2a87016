import { z } from 'zod';
import {
  DURATION,
  HOST,
  isPrefix,
  LISTEN,
  parseBaseUrl,
  parseDuration,
  parseHost,
  parseListen,
  parseShare,
  parseSize,
  SHARE,
  SIZE,
} from './config-text.ts';

/** The kinds of values that keys of the configuration take. The error texts say what is accepted. */

const HOUR_MS = 3_600_000;
/** The longest lifetime there is. */
export const TEN_YEARS_MS = 3650 * 24 * HOUR_MS;

export const text = z
  .string({ error: 'accepted is text; what YAML would take for something else goes in quotes' })
  .min(1, { error: 'accepted is text that is not empty' });

function duration(limit: { readonly ms: number; readonly text: string }) {
  const error = `accepted is a duration such as 250ms, 10s, 5m, 2h or 30d, ${limit.text} at most`;
  return parsed(z.string({ error }).regex(DURATION, { error }), error, (value) => {
    const ms = parseDuration(value);
    return ms !== undefined && ms <= limit.ms ? ms : undefined;
  });
}

export const lifetime = () => duration({ ms: TEN_YEARS_MS, text: '3650d' });
/** How long something is kept: shorter is not what is meant. */
export const retention = () => {
  const error = 'accepted is a duration from 1h to 3650d, such as 30d';
  return parsed(z.string({ error }).regex(DURATION, { error }), error, (value) => {
    const ms = parseDuration(value);
    return ms !== undefined && ms >= HOUR_MS && ms <= TEN_YEARS_MS ? ms : undefined;
  });
};
/** Used as a timer's delay, which must stay below 2^31 ms. */
export const timer = () => duration({ ms: HOUR_MS, text: '1h' });

const scheduleError = 'accepted is never, or a duration such as 12h or 30d, 3650d at most';
/** Milliseconds between one time and the next; 0 = never. */
export const schedule = parsed(
  z.string({ error: scheduleError }).regex(/^(?:never|\d{1,12}(?:ms|s|m|h|d))$/, { error: scheduleError }),
  scheduleError,
  (value) => {
    const ms = value === 'never' ? 0 : parseDuration(value);
    return ms !== undefined && ms <= TEN_YEARS_MS ? ms : undefined;
  },
);

const keepError = 'accepted is never, or a duration from 1d to 3650d such as 400d';
/** How many milliseconds something is kept; 0 = never. */
export const keep = parsed(
  z.string({ error: keepError }).regex(/^(?:never|\d{1,12}(?:ms|s|m|h|d))$/, { error: keepError }),
  keepError,
  (value) => {
    const ms = value === 'never' ? 0 : parseDuration(value);
    const isLong = ms !== undefined && ms >= 24 * HOUR_MS && ms <= TEN_YEARS_MS;
    return isLong || ms === 0 ? ms : undefined;
  },
);

const SIZES = 'a number of bytes, or one with KiB, MiB, GiB or TiB';
const maxSizeError = `accepted is ${SIZES}, or a share of the disk such as 80%; more than 0`;
export const maxSize = z
  .union(
    [
      z.int({ error: maxSizeError }).positive({ error: maxSizeError }),
      parsed(
        z.string().regex(SIZE, { error: maxSizeError }),
        maxSizeError,
        (value) => parseSize(value) || undefined,
      ),
      parsed(z.string().regex(SHARE, { error: maxSizeError }), maxSizeError, parseShare).transform(
        (share) => ({ share }),
      ),
    ],
    { error: maxSizeError },
  )
  .transform((size) => (typeof size === 'number' ? { bytes: size } : size));

const sizeOrShareError = `accepted is ${SIZES}, or a share of the disk such as 5%`;
export const sizeOrShare = z
  .union(
    [
      z.int({ error: sizeOrShareError }).nonnegative({ error: sizeOrShareError }),
      parsed(z.string().regex(SIZE, { error: sizeOrShareError }), sizeOrShareError, parseSize),
      parsed(z.string().regex(SHARE, { error: sizeOrShareError }), sizeOrShareError, parseShare).transform(
        (share) => ({ share }),
      ),
    ],
    { error: sizeOrShareError },
  )
  .transform((written) => (typeof written === 'number' ? { bytes: written } : written));

const pullReserveError = 'accepted is a number of pulls such as 20, or a share of the allowance such as 10%';
export const pullReserve = z
  .union(
    [
      z.int({ error: pullReserveError }).nonnegative({ error: pullReserveError }),
      parsed(z.string().regex(SHARE, { error: pullReserveError }), pullReserveError, parseShare).transform(
        (share) => ({ share }),
      ),
    ],
    { error: pullReserveError },
  )
  .transform((written) => (typeof written === 'number' ? { pulls: written } : written));

const sizeError = `accepted is ${SIZES}`;
export const size = z.union(
  [
    z.int({ error: sizeError }).nonnegative({ error: sizeError }),
    parsed(z.string().regex(SIZE, { error: sizeError }), sizeError, parseSize),
  ],
  {
    error: sizeError,
  },
);

const listenError =
  'accepted is host:port or [IPv6 address]:port, such as 127.0.0.1:5000; port 0 is any free one';
export const listen = () =>
  parsed(z.string({ error: listenError }).regex(LISTEN, { error: listenError }), listenError, parseListen);

const booleanError = 'accepted is true or false';
export const boolean = z
  .union([z.boolean(), z.string().regex(/^(?:true|false)$/, { error: booleanError })], {
    error: booleanError,
  })
  .transform((value) => value === true || value === 'true');

/** A whole number from 0 to `limit`. */
export function count(limit: number) {
  const error = `accepted is a whole number from 0 to ${limit}`;
  return number(error, (value) => Number.isSafeInteger(value) && value >= 0 && value <= limit);
}

/** Per second. */
export const rate = number(
  'accepted is a number of requests per second, more than 0 and no more than 10000',
  (value) => value > 0 && value <= 10_000,
);

/** A number, also as text. */
export function number(error: string, isTaken: (value: number) => boolean) {
  const digits = z.string({ error }).regex(/^\d{1,9}(?:\.\d{1,6})?$/, { error });
  return z.union([z.number({ error }).refine(isTaken, { error }), parsed(digits, error, takenFrom)], {
    error,
  });
  function takenFrom(written: string): number | undefined {
    const value = Number(written);
    return isTaken(value) ? value : undefined;
  }
}

const urlError = 'accepted is http(s)://host[:port][/path], without credentials, query and fragment';
export const url = parsed(z.string({ error: urlError }), urlError, parseBaseUrl);

const publicUrlError = 'accepted is http(s)://host[:port], without path, credentials, query and fragment';
export const publicUrl = parsed(z.string({ error: publicUrlError }), publicUrlError, (value) => {
  const base = parseBaseUrl(value);
  return base === undefined || new URL(base).pathname !== '/' ? undefined : base;
});

const hostError = 'accepted is host or host:port';
export const hosts = z.array(
  parsed(z.string({ error: hostError }).regex(HOST, { error: hostError }), hostError, parseHost),
  {
    error: 'accepted is a list of host or host:port',
  },
);

const prefixError =
  'accepted is one segment of a repository name: lower-case letters and digits, separated by . _ __ or -; not v2';
export const prefixes = z.array(
  parsed(z.string({ error: prefixError }), prefixError, (value) => (isPrefix(value) ? value : undefined)),
  { error: 'accepted is a list of path segments, [] for none' },
);

const tokenError = 'accepted is printable ASCII without spaces';
export const token = z.string({ error: tokenError }).regex(/^[\x21-\x7e]+$/, { error: tokenError });

/** An object whose unknown keys are errors. */
export function mapping<Shape extends z.core.$ZodLooseShape>(shape: Shape) {
  return z.strictObject(shape, {
    error: (issue) =>
      issue.code === 'unrecognized_keys' ? undefined : 'accepted is a mapping of keys to values',
  });
}

/** A piece of text that `parse` turns into what it means. */
export function parsed<Output>(
  schema: z.ZodType<string, string>,
  error: string,
  parse: (value: string) => Output | undefined,
) {
  return schema.transform((value, context) => {
    const output = parse(value);
    if (output !== undefined) return output;
    context.addIssue({ code: 'custom', message: error });
    return z.NEVER;
  });
}
