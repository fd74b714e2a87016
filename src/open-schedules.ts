import type { Clock } from './clock.ts';
import type { Config } from './config.ts';
import type { Log } from './log.ts';
import type { Metrics } from './metrics.ts';
import { scheduleObserver } from './observers.ts';
import type { Closer } from './open-store.ts';
import type { UpstreamSet } from './pull-through/upstream-set.ts';
import type { LocalWarming } from './warm/local-warming.ts';
import type { Schedules, ScheduleState } from './warm/schedules.ts';

export interface OpenSchedulesParts {
  readonly reporting: { readonly log: Log; readonly metrics: Metrics };
  readonly clock: Clock;
  readonly warming: LocalWarming;
  readonly upstreams: UpstreamSet;
  readonly closers: Closer[];
}

type WarmConfig = Pick<Config, 'warm'>;

/** What is warmed by the clock. */
export interface OpenSchedules {
  /** Absent: nothing is configured. */
  readonly states: ScheduleState[] | undefined;
  /** From now on what is due is done. Once. */
  begin(): void;
  /** Readies other schedules; what it gives has them hold. */
  renew(config: WarmConfig): Promise<() => void>;
}

/** What is warmed by the clock; nothing is due before `begin`. Not loaded where there is nothing. */
export async function openSchedules(config: WarmConfig, parts: OpenSchedulesParts): Promise<OpenSchedules> {
  const { reporting, clock, warming, upstreams, closers } = parts;
  const { metrics } = reporting;
  let schedules: Schedules | undefined;
  let hasBegun = false;
  let names: readonly string[] = [];
  closers.push(() => schedules?.close());
  const renew = async ({ warm = [] }: WarmConfig): Promise<() => void> => {
    const loaded = warm.length === 0 ? undefined : await import('./warm/schedules.ts');
    return () => {
      for (const name of names) if (warm.every((schedule) => schedule.name !== name)) metrics.warm.gone(name);
      for (const { name } of warm) if (!names.includes(name)) metrics.warm.known(name);
      names = warm.map(({ name }) => name);
      if (schedules === undefined && loaded !== undefined) {
        const observer = scheduleObserver(reporting, clock);
        const asked = {
          get upstreams() {
            return upstreams.configs;
          },
        };
        schedules = new loaded.Schedules(warm, Object.assign(asked, { warming, clock, observer }));
        if (hasBegun) schedules.begin();
      } else schedules?.configure(warm);
    };
  };
  (await renew(config))();
  return {
    get states() {
      const states = schedules?.states ?? [];
      return states.length === 0 ? undefined : states;
    },
    begin: () => {
      hasBegun = true;
      schedules?.begin();
    },
    renew,
  };
}
