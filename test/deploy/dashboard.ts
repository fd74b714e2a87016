import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';

const FILE = join(import.meta.dirname, '..', '..', 'deploy', 'grafana', 'entrepot.json');

const place = z.object({ x: z.int(), y: z.int(), w: z.int().positive(), h: z.int().positive() });
const source = z.object({ type: z.literal('prometheus'), uid: z.literal('${datasource}') });
const target = z.object({
  refId: z.string().min(1),
  expr: z.string().min(1),
  datasource: source,
  instant: z.boolean().optional(),
});
const panel = z.object({
  id: z.int().positive(),
  type: z.enum(['stat', 'timeseries', 'heatmap']),
  title: z.string().min(1),
  description: z.string().min(10),
  gridPos: place,
  datasource: source,
  fieldConfig: z.object({ defaults: z.looseObject({ unit: z.string().min(1) }) }),
  targets: z.array(target).min(1),
});
const row = z.object({
  id: z.int().positive(),
  type: z.literal('row'),
  title: z.string().min(1),
  gridPos: place,
});
const dashboard = z.object({
  uid: z.string().min(1),
  title: z.string().min(1),
  schemaVersion: z.int(),
  templating: z.object({
    list: z.array(
      z.object({
        name: z.string(),
        type: z.enum(['datasource', 'query']),
        definition: z.string().optional(),
        multi: z.boolean(),
      }),
    ),
  }),
  panels: z.array(z.union([row, panel])),
});

export type Panel = z.infer<typeof panel>;
export type Dashboard = z.infer<typeof dashboard>;

/** As Grafana would read it. @throws where it is not what a dashboard of ours is to be */
export function readDashboard(): Dashboard {
  return dashboard.parse(JSON.parse(readFileSync(FILE, 'utf8')));
}

/** Those that show something. */
export function panelsOf({ panels }: Dashboard): readonly Panel[] {
  return panels.flatMap((one) => (one.type === 'row' ? [] : [one]));
}

/** As Grafana does with "All" chosen. */
export function substituted(query: string): string {
  return query
    .replaceAll('$instance', '.*')
    .replaceAll('$upstream', '.*')
    .replaceAll('$__rate_interval', '15s')
    .replaceAll('$__range', '30s');
}
