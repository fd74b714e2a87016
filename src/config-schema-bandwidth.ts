import { z } from 'zod';
import { type Bandwidth, parseDays, parseTimeOfDay } from './config-bandwidth.ts';
import { parseCron } from './config-cron.ts';
import { SIZE, parseSize } from './config-text.ts';
import { mapping, parsed } from './config-values.ts';

/** Below it a single slab would take minutes. */
const LEAST_BYTES = 64 * 1024;

const limitError = 'accepted is bytes a second such as 20MiB, 64KiB at least, or unlimited';
const written = z.string({ error: limitError }).regex(SIZE, { error: limitError });
const perSecond = z
  .union(
    [
      z.literal('unlimited'),
      z.int({ error: limitError }).min(LEAST_BYTES, { error: limitError }),
      parsed(written, limitError, (value) => {
        const bytes = parseSize(value);
        return bytes !== undefined && bytes >= LEAST_BYTES ? bytes : undefined;
      }),
    ],
    { error: limitError },
  )
  .transform((value) => (value === 'unlimited' ? undefined : value));

const daysError = 'accepted is daily, or days such as mon-fri or sat,sun';
const timeError = 'accepted is a time such as 08:00, up to 24:00';
const time = parsed(z.string({ error: timeError }), timeError, parseTimeOfDay);
const zoneError = 'accepted is a name such as Europe/Berlin or UTC';
const HOURS_LIMIT = 100;

const hours = mapping({
  days: parsed(z.string({ error: daysError }), daysError, parseDays)
    .describe('On which days they begin: daily, mon-fri, sat,sun.')
    .prefault('daily'),
  from: time.describe('Such as 08:00.'),
  to: time.describe('Such as 18:00; not later than from: on the next day.'),
  limit: perSecond.describe('Bytes a second meanwhile, or unlimited.'),
});

const scheduled = mapping({
  limit: perSecond
    .describe('Bytes a second outside of hours, or unlimited. Default: unlimited.')
    .prefault('unlimited'),
  hours: z
    .array(hours, { error: 'accepted is a list of hours with from, to, limit and days' })
    .max(HOURS_LIMIT, { error: `accepted are ${HOURS_LIMIT} at most` })
    .describe('When other limits hold; of several, the first.')
    .prefault([]),
  timezone: parsed(z.string({ error: zoneError }), zoneError, (value) =>
    'wrong' in parseCron('@daily', value) ? undefined : value,
  )
    .describe("Of the hours, such as Europe/Berlin. Default: the machine's own.")
    .optional(),
});

const error = `${limitError}; or a mapping with limit, hours and timezone`;

/** What may come in a second: a number, or a number by the hours. */
export const bandwidth = z.union([perSecond, scheduled], { error }).transform((value): Bandwidth => {
  if (typeof value !== 'object') return { bytesPerSecond: value, hours: [] };
  const { limit, timezone } = value;
  return {
    bytesPerSecond: limit,
    hours: value.hours.map(({ days, from, to, limit: bytesPerSecond }) => ({
      days,
      fromMinute: from,
      toMinute: to,
      bytesPerSecond,
    })),
    ...(timezone !== undefined && { timezone }),
  };
});
