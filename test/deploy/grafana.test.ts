import { describe, expect, it } from 'vitest';
import { panelsOf, readDashboard } from './dashboard.ts';
import { metricNames, namesIn } from './metric-names.ts';

/** Of Grafana's: those that our numbers have. */
const UNITS = ['short', 's', 'bytes', 'Bps', 'percentunit', 'reqps', 'cps'];
const STORY = [
  'Is it healthy?',
  'What does it save?',
  'Is the rate limit safe?',
  'Where does time go?',
  'What is in the store?',
  'What fails?',
];

/** Shown by the page and by commands, or the same as another, or of settings that few have. */
const NOT_SHOWN: readonly string[] = [
  'entrepot_config_reloads_total',
  'entrepot_fill_clients_bucket',
  'entrepot_mirror_up',
  'entrepot_store_upstream_limit_bytes',
  'entrepot_upstream_ratelimit_window_seconds',
  'entrepot_verified_bytes_total',
  'entrepot_warm_failed_images',
  'entrepot_warm_fetched_bytes_total',
  'entrepot_warm_last_run_duration_seconds',
  'entrepot_warm_last_run_timestamp_seconds',
  'entrepot_warm_last_success_timestamp_seconds',
  'entrepot_warm_next_run_timestamp_seconds',
  'entrepot_warm_running',
];

describe('the dashboard', () => {
  const dashboard = readDashboard();
  const panels = panelsOf(dashboard);

  it('tells its story from top to bottom, with a unit and words for each panel', () => {
    const rows = dashboard.panels.filter(({ type }) => type === 'row');
    expect(rows.map(({ title }) => title)).toEqual(STORY);
    for (const { title, fieldConfig } of panels) expect(UNITS, title).toContain(fieldConfig.defaults.unit);
    const titles = panels.map(({ title }) => title);
    expect(new Set(titles).size).toBe(titles.length);
    expect(dashboard.templating.list.map(({ name }) => name)).toEqual(['datasource', 'instance', 'upstream']);
  });

  it('has a number of its own for each panel, and a place where no other is', () => {
    const ids = dashboard.panels.map(({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
    const taken = new Map<string, string>();
    for (const { title, gridPos } of dashboard.panels) {
      const { x, y, w, h } = gridPos;
      expect(x + w, title).toBeLessThanOrEqual(24);
      for (let column = x; column < x + w; column += 1)
        for (let line = y; line < y + h; line += 1) {
          const place = `${column}/${line}`;
          expect(taken.get(place), `${title} is where another is`).toBeUndefined();
          taken.set(place, title);
        }
    }
  });

  it('asks only for what there is', async () => {
    const known = await metricNames();
    const queries = panels.flatMap(({ targets }) => targets.map(({ expr }) => expr));
    const variables = dashboard.templating.list.flatMap(({ definition }) => definition ?? []);
    const asked = [...queries, ...variables].flatMap(namesIn);
    expect(asked.length).toBeGreaterThan(queries.length);
    expect(asked.filter((name) => !known.has(name))).toEqual([]);
  });

  it('asks for every metric of ours, but for those that say no more than others', async () => {
    const asked = new Set(panels.flatMap(({ targets }) => targets.flatMap(({ expr }) => namesIn(expr))));
    const shown = (name: string): boolean => asked.has(name);
    const missing = [...(await metricNames())].filter(
      (name) => name.startsWith('entrepot_') && !shown(name) && !/_(?:sum|count)$/.test(name),
    );
    expect(missing.toSorted()).toEqual(NOT_SHOWN);
  });
});
