import { liveView } from '../activity/live-view.ts';
import { type Api, addPlainRoute, named } from './api-routes.ts';
import type { LiveEvents } from './live-events.ts';

/** What goes on at a moment. */
export const live = named('LiveView', liveView);

/** What goes on right now, as it goes on. */
export function addLiveRoutes(api: Api, events: LiveEvents): void {
  addPlainRoute(
    api,
    {
      method: 'get',
      path: '/live',
      tag: 'activity',
      summary: 'What goes on right now: an event now and one every second',
      description: 'Server-sent events without names; the data of each is a document of this schema.',
      content: { 'text/event-stream': { schema: live } },
    },
    async ({ signal }) => events.watch(signal),
  );
}
