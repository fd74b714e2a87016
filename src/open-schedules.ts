import type { Clock } from './clock.ts';
import type { Config } from './config.ts';
import type { Log } from './log.ts';
import type { Metrics } from './metrics.ts';
import { scheduleObserver } from './observers.ts';
import type { Closer } from './open-store.ts';
import type { LocalWarming } from './warm/local-warming.ts';
import type { Schedules } from './warm/schedules.ts';

export interface OpenSchedulesParts {
  readonly reporting: { readonly log: Log; readonly metrics: Metrics };
  readonly clock: Clock;
  readonly warming: LocalWarming;
  readonly closers: Closer[];
}

/** What is warmed by the clock; nothing is due before `begin`. Not loaded where there is nothing. */
export async function openSchedules(
  { warm = [], upstreams }: Pick<Config, 'warm' | 'upstreams'>,
  { reporting, clock, warming, closers }: OpenSchedulesParts,
): Promise<Schedules | undefined> {
  if (warm.length === 0) return undefined;
  const { Schedules } = await import('./warm/schedules.ts');
  for (const { name } of warm) reporting.metrics.warm.known(name);
  const observer = scheduleObserver(reporting, clock);
  const schedules = new Schedules(warm, { warming, upstreams, clock, observer });
  closers.push(() => schedules.close());
  return schedules;
}
