import { createMetrics } from '../../src/metrics.ts';

/** What Prometheus itself makes of a scrape. */
const OF_PROMETHEUS = ['up', 'ALERTS'];

/** Every name that a query may ask for: what the program shows, histograms in their parts. */
export async function metricNames(): Promise<ReadonlySet<string>> {
  const metrics = createMetrics({ version: '0', nodeVersion: 'v0', upstreams: [] });
  const { text } = await metrics.render();
  const names = Array.from(text.matchAll(/^# TYPE (\S+) (\S+)$/gm), ([, name = '', type]) =>
    type === 'histogram' ? ['bucket', 'sum', 'count'].map((part) => `${name}_${part}`) : [name],
  );
  return new Set([...names.flat(), ...OF_PROMETHEUS]);
}

/** The names of metrics in a query: what is no function, no keyword, no label and in no string. */
export function namesIn(query: string): readonly string[] {
  const plain = query
    .replaceAll(/"[^"]*"/g, '""')
    .replaceAll(/\{[^}]*\}/g, ' ')
    .replaceAll(/\[[^\]]*\]/g, ' ')
    .replaceAll(/\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)/g, ' ');
  const words = plain.match(/[a-zA-Z_][\w:]*(?!\w*\s*\()/g) ?? [];
  return words.filter((word) => /[_:]|^up$|^ALERTS$/.test(word));
}
