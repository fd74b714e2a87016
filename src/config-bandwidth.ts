/** How much may come in a second, and when less (or more) of it. */
export interface Bandwidth {
  /** Outside all of `hours`. Absent: no limit. */
  readonly bytesPerSecond?: number | undefined;
  /** The first that holds counts. */
  readonly hours: readonly BandwidthHours[];
  /** A name of IANA's; absent: the machine's own. */
  readonly timezone?: string | undefined;
}

/** A time of the day, on some days of the week, in minutes since midnight: `from` belongs to it, `to` does not. */
export interface BandwidthHours {
  /** 0: Sunday. Of hours over midnight, the days on which they begin. */
  readonly days: readonly number[];
  readonly fromMinute: number;
  /** Not later than `fromMinute`: on the next day. */
  readonly toMinute: number;
  /** Absent: no limit. */
  readonly bytesPerSecond?: number | undefined;
}

const DAYS = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'];
const DAY_MINUTES = 24 * 60;

/** Reads `mon-fri`, `sat,sun` or `daily`. @returns 0 (Sunday) to 6; `undefined` for anything else */
export function parseDays(text: string): readonly number[] | undefined {
  if (text === 'daily') return [0, 1, 2, 3, 4, 5, 6];
  const days = new Set<number>();
  for (const part of text.split(',')) {
    const [first = '', last = first, ...more] = part.trim().split('-');
    const [from, to] = [DAYS.indexOf(first), DAYS.indexOf(last)];
    if (from === -1 || to === -1 || more.length > 0) return undefined;
    for (let day = from; ; day = (day + 1) % 7) {
      days.add(day);
      if (day === to) break;
    }
  }
  return [...days];
}

/** Reads `HH:MM`, from 00:00 to 24:00. @returns minutes since midnight */
export function parseTimeOfDay(text: string): number | undefined {
  const [, hours, minutes] = /^(\d{2}):(\d{2})$/.exec(text) ?? [];
  const at = Number(hours) * 60 + Number(minutes);
  return Number(minutes) < 60 && at <= DAY_MINUTES ? at : undefined;
}

/** Which limit holds now. */
export class BandwidthTimes {
  readonly #bandwidth: Bandwidth;
  readonly #format: Intl.DateTimeFormat | undefined;
  #known: { readonly minute: number; readonly limit: number } | undefined;

  constructor(bandwidth: Bandwidth) {
    this.#bandwidth = bandwidth;
    this.#format =
      bandwidth.hours.length === 0
        ? undefined
        : new Intl.DateTimeFormat('en-US', {
            timeZone: bandwidth.timezone,
            weekday: 'short',
            hour: '2-digit',
            minute: '2-digit',
            hourCycle: 'h23',
          });
  }

  /** Bytes a second; Infinity where there is no limit. @param now milliseconds since 1970 */
  limitAt(now: number): number {
    const minute = Math.floor(now / 60_000);
    if (this.#known?.minute !== minute) this.#known = { minute, limit: this.#find(now) };
    return this.#known.limit;
  }

  #find(now: number): number {
    const { hours, bytesPerSecond } = this.#bandwidth;
    if (this.#format === undefined) return bytesPerSecond ?? Infinity;
    const parts = new Map(this.#format.formatToParts(now).map(({ type, value }) => [type, value]));
    const day = DAYS.indexOf((parts.get('weekday') ?? '').toLowerCase());
    const minute = Number(parts.get('hour')) * 60 + Number(parts.get('minute'));
    const found = hours.find((each) => holds(each, day, minute));
    return (found === undefined ? bytesPerSecond : found.bytesPerSecond) ?? Infinity;
  }
}

function holds({ days, fromMinute, toMinute }: BandwidthHours, day: number, minute: number): boolean {
  if (fromMinute < toMinute) return days.includes(day) && fromMinute <= minute && minute < toMinute;
  const hasBegun = days.includes(day) && minute >= fromMinute;
  return hasBegun || (days.includes((day + 6) % 7) && minute < toMinute);
}
