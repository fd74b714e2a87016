import { badge, type Html, type Mood } from './formats.ts';

const MOODS: Readonly<Record<string, Mood>> = {
  hit: 'good',
  revalidated: 'good',
  joined: 'good',
  stale: 'warn',
  miss: 'calm',
  bypass: 'calm',
};

/** How an answer was come by, and with which status where that says more. */
export function outcomeBadge(outcome: string, status?: number): Html {
  if (status !== undefined && status >= 400) return badge(`${status}`, status >= 500 ? 'bad' : 'warn');
  return badge(outcome === 'none' ? String(status ?? '–') : outcome, MOODS[outcome] ?? 'calm');
}
