import { html } from 'hono/html';
import { printBytes, printCount } from '../../quantity-text.ts';

/** A piece of a page: all that came from outside is escaped in it. */
export type Html = ReturnType<typeof html>;
/** What may stand between tags. */
export type Content = Html | string | number | undefined | readonly Content[];

const SECOND_MS = 1000;
const SPANS = [
  ['d', 86_400 * SECOND_MS],
  ['h', 3600 * SECOND_MS],
  ['min', 60 * SECOND_MS],
  ['s', SECOND_MS],
] as const;
const DIGITS_SHOWN = 12;

/** `1.5 GiB`, `12 B`; its space does not break. */
export function bytes(count: number): string {
  return printBytes(count).replace(' ', '\u00a0');
}

/** `93 %` of a part and the whole; a dash where there is no whole. */
export function percent(part: number, whole: number): string {
  if (whole <= 0) return '–';
  const share = (part / whole) * 100;
  // All but a little is not all, and a little is not nothing.
  const shown = share > 99 && share < 100 ? 99 : share > 0 && share < 1 ? 1 : Math.round(share);
  return `${share > 0 && share < 1 ? '<\u2009' : ''}${shown}\u00a0%`;
}

/** `3 h`, `250 ms`. */
export function span(ms: number): string {
  const [unit, size] = SPANS.find(([, least]) => ms >= least) ?? ['ms', 1];
  const value = ms / size;
  return `${value < 10 && size > 1 && size < 60_000 ? value.toFixed(1) : Math.floor(value)}\u00a0${unit}`;
}

/** A point in time, as far from now as people say it; the rest is in the title. */
export function when(at: number, now: number): Html {
  const date = new Date(at);
  if (Number.isNaN(date.getTime())) return html`–`;
  const away = Math.abs(now - at);
  const text = away < 5 * SECOND_MS ? 'just now' : now >= at ? `${span(away)} ago` : `in ${span(away)}`;
  return html`<time datetime="${date.toISOString()}" title="${date.toUTCString()}">${text}</time>`;
}

/** The first digits of a digest; all of them in the title. */
export function digest(text: string): Html {
  const [algorithm = '', digits] = text.split(':');
  const short = digits === undefined ? text : `${algorithm}:${digits.slice(0, DIGITS_SHOWN)}…`;
  return html`<code title="${text}">${short}</code>`;
}

export type Mood = 'good' | 'bad' | 'warn' | 'calm';

/** A word on a coloured ground. The word alone says it. */
export function badge(text: string, mood: Mood): Html {
  return html`<span class="badge ${mood}">${text}</span>`;
}

/** What stands beside a hit ratio, which knows nothing of them. */
export function failedNote(failures: number): Content {
  return failures === 0 ? '' : badge(`${printCount(failures)} failed`, 'warn');
}

/** How much of something is used, drawn; what it says stands beside it. @param share 0 to 1 */
export function bar(share: number, label: string, mood: Mood = 'calm'): Html {
  const width = Math.max(0, Math.min(100, share * 100)).toFixed(1);
  return html`<svg
    class="bar ${mood}"
    viewBox="0 0 100 6"
    preserveAspectRatio="none"
    role="img"
    aria-label="${label}"
  >
    <rect class="ground" width="100" height="6" />
    <rect class="part" width="${width}" height="6" />
  </svg>`;
}
