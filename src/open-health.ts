import type { UpstreamStandings } from './activity/upstream-standings.ts';
import type { UpstreamStanding } from './activity/upstream-standing.ts';
import { type Clock, systemClock } from './clock.ts';
import { Health, type HealthCheck, type HealthDetail } from './http/health.ts';
import { LoopDelay } from './loop-delay.ts';
import type { FrontMetrics } from './metrics-fronts.ts';
import type { Closer, OpenStore } from './open-store.ts';

export interface OpenHealthParts {
  readonly clock: Clock;
  readonly version: string;
  readonly store: Pick<OpenStore, 'cache' | 'metadata'>;
  readonly standings: Pick<UpstreamStandings, 'standings'>;
  readonly isClosing: () => boolean;
  /** Without any, nobody is answered. Absent: there are none to be. */
  readonly fronts?: Pick<FrontMetrics, 'running'> | undefined;
  readonly closers: Closer[];
}

/** An event loop that is so late all the time answers nobody in time. */
const LOOP_DELAY_LIMIT_MS = 1_000;

/** What this process needs to do its part; that upstreams are away is nothing that another process would do better. */
export function openHealth({
  clock,
  version,
  store,
  standings,
  isClosing,
  fronts,
  closers,
}: OpenHealthParts): Health {
  const { cache, metadata } = store;
  // Of this process, whatever time it is told: an injected clock knows nothing of its event loop.
  const delay = new LoopDelay(systemClock);
  delay.begin();
  closers.push(() => delay.close());
  return new Health({
    clock,
    version,
    isClosing,
    checks: [
      {
        name: 'store',
        look: async () => {
          await cache.condition.check();
          return undefined;
        },
      },
      {
        name: 'index',
        look: async () => {
          await metadata.lastPlace();
          return undefined;
        },
      },
      {
        name: 'event loop',
        look: () => {
          const { medianMs } = delay;
          const text = `late by ${Math.round(medianMs)} ms, in the median of five seconds`;
          if (medianMs > LOOP_DELAY_LIMIT_MS) throw new Error(text);
          return text;
        },
      },
      ...(fronts === undefined ? [] : [frontsCheck(fronts)]),
    ],
    details: () => standings.standings.map(detailOf),
  });
}

function frontsCheck(fronts: Pick<FrontMetrics, 'running'>): HealthCheck {
  return {
    name: 'workers',
    look: () => {
      if (fronts.running === 0) throw new Error('none of them serves');
      return `${fronts.running} serve`;
    },
  };
}

function detailOf({ upstream, state, since, pausedUntil, lastErrors }: UpstreamStanding): HealthDetail {
  const isWell = state !== 'down';
  const when = since === undefined ? '' : ` since ${new Date(since).toISOString()}`;
  const pause = pausedUntil === undefined ? '' : `, paused until ${new Date(pausedUntil).toISOString()}`;
  const why = isWell ? undefined : lastErrors[0]?.message;
  const message = `${state}${when}${pause}${why === undefined ? '' : `: ${why}`}`;
  return { name: `upstream ${upstream}`, isWell, message };
}
