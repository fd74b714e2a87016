import { RemoteApi } from '../../src/commands/remote-api.ts';
import { RemoteWarming } from '../../src/commands/remote-warming.ts';
import { parseReference, parseRepositoryName } from '../../src/oci/reference.ts';
import type { WarmEvent } from '../../src/warm/warm-events.ts';
import type { WarmRequest, WarmTarget } from '../../src/warm/warm-operations.ts';
import type { RunningApp } from '../support/running-app.ts';

export type EventOf<Name extends WarmEvent['event']> = Extract<WarmEvent, { event: Name }>;

/** What a run told. */
export interface Told {
  readonly events: readonly WarmEvent[];
  readonly of: <Name extends WarmEvent['event']>(name: Name) => readonly EventOf<Name>[];
  /** The last event, which must be this one. */
  readonly done: EventOf<'done'>;
}

/** `docker.io/library/app:v1`, or `docker.io/library/app` with a selection of tags. */
export function target(text: string, tags?: string): WarmTarget {
  const [, upstream = '', repository = '', tag, digest] =
    /^([^/]+)\/([^:@]+)(?::([^@]+))?(?:@(.+))?$/.exec(text) ?? [];
  const named = { upstream, repository: parseRepositoryName(repository) };
  return tags === undefined
    ? { ...named, reference: parseReference(digest ?? tag ?? 'latest') }
    : { ...named, tags };
}

export function warmingOf(app: RunningApp): RemoteWarming {
  const { hostname, port } = new URL(app.adminUrl);
  return new RemoteWarming(
    new RemoteApi({ listener: { host: hostname, port: Number(port) }, token: undefined }),
  );
}

/** Over the admin API of a running product, as the command does. */
export async function warm(
  app: RunningApp,
  targets: readonly (WarmTarget | string)[],
  options: Partial<Omit<WarmRequest, 'targets'>> = {},
  signal = new AbortController().signal,
): Promise<Told> {
  const request = {
    targets: targets.map((named) => (typeof named === 'string' ? target(named) : named)),
    platforms: [],
    withReferrers: false,
    dryRun: false,
    ...options,
  };
  return collected(warmingOf(app).warm(request, signal));
}

export async function collected(stream: AsyncIterable<WarmEvent>): Promise<Told> {
  const events: WarmEvent[] = [];
  for await (const event of stream) events.push(event);
  const done = events.at(-1);
  if (done?.event !== 'done') throw new Error(`the last event is ${String(done?.event)}`);
  const of = <Name extends WarmEvent['event']>(name: Name) =>
    events.filter((event): event is EventOf<Name> => event.event === name);
  return { events, of, done };
}
