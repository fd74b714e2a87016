import { Cron } from 'croner';

/** When something is due, again and again. */
export interface CronTimes {
  /** The first time after `afterMs`; `undefined`: never again. Milliseconds since 1970. */
  readonly next: (afterMs: number) => number | undefined;
}

/** Longer than any that a person writes. */
const LENGTH_LIMIT = 200;
const PARTS = /^\s*(?:@[a-z]+|\S+(?:\s+\S+){4})\s*$/i;

/**
 * Reads cron's five fields (minute, hour, day of the month, month, day of the week) or a nickname such as `@daily`.
 * @param timezone a name of IANA's; absent: the machine's own
 * @returns which of the two is wrong
 */
export function parseCron(
  text: string,
  timezone?: string,
): CronTimes | { readonly wrong: 'cron' | 'timezone' } {
  if (timezone !== undefined && !isTimezone(timezone)) return { wrong: 'timezone' };
  if (text.length > LENGTH_LIMIT || !PARTS.test(text)) return { wrong: 'cron' };
  try {
    const cron = new Cron(text, {
      paused: true,
      mode: '5-part',
      ...(timezone !== undefined && { timezone }),
    });
    const next = (afterMs: number) => cron.nextRun(new Date(afterMs))?.getTime();
    // The 30th of February comes never.
    return next(0) === undefined ? { wrong: 'cron' } : { next };
  } catch {
    return { wrong: 'cron' };
  }
}

function isTimezone(name: string): boolean {
  try {
    return new Intl.DateTimeFormat('en', { timeZone: name }).resolvedOptions().timeZone !== '';
  } catch {
    return false;
  }
}
