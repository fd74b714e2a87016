import { html } from 'hono/html';
import type { ActivityOperations } from '../../../activity/activity-operations.ts';
import type { DashboardPage } from '../dashboard-page.ts';
import { bytes, percent, when } from '../formats.ts';
import { printCount } from '../../../quantity-text.ts';
import { orderOf, sortLinks } from '../sorting.ts';
import { table } from '../table.ts';

const SHOWN_LIMIT = 500;
const COLUMNS = {
  bytes: 'descending',
  pulls: 'descending',
  requests: 'descending',
  failed: 'descending',
  used: 'descending',
  client: 'ascending',
} as const;

/** Who pulls, by address. */
export function clientsPage(activity: ActivityOperations): DashboardPage {
  return {
    path: '/clients',
    title: 'Clients',
    content: async ({ query, now, signal }) => {
      const clients = await activity.clients(signal);
      const chosen = orderOf(query, COLUMNS, 'bytes');
      const links = sortLinks('/clients', query, COLUMNS, chosen);
      const key = (client: (typeof clients)[number]): number | string =>
        ({
          bytes: client.bytes,
          pulls: client.pulls,
          requests: client.requests,
          failed: client.failures,
          used: client.lastAt,
          client: client.client,
        })[chosen.by];
      const sign = chosen.order === 'ascending' ? 1 : -1;
      const sorted = clients.toSorted((one, other) =>
        key(one) < key(other) ? -sign : key(one) > key(other) ? sign : 0,
      );
      return html`<section>
        ${table({
          caption:
            clients.length > SHOWN_LIMIT
              ? `${SHOWN_LIMIT} of ${printCount(clients.length)} clients`
              : 'Since entrepot began',
          columns: [
            { label: 'Address', sort: links.client },
            { label: 'Pulls', kind: 'number', sort: links.pulls },
            { label: 'Requests', kind: 'number', sort: links.requests },
            { label: 'Hit ratio', kind: 'number' },
            { label: 'Failed', kind: 'number', sort: links.failed },
            { label: 'Sent', kind: 'number', sort: links.bytes },
            { label: 'From the cache', kind: 'number' },
            { label: 'Last seen', kind: 'number', sort: links.used },
          ],
          rows: sorted
            .slice(0, SHOWN_LIMIT)
            .map((client) => [
              html`<a href="/requests?client=${encodeURIComponent(client.client)}">${client.client}</a>`,
              printCount(client.pulls),
              printCount(client.requests),
              percent(client.hits, client.requests),
              printCount(client.failures),
              bytes(client.bytes),
              percent(client.hitBytes, client.bytes),
              when(client.lastAt, now),
            ]),
          empty: html`<strong>No client was seen yet.</strong> <a href="/setup">Point one at the cache</a>.`,
        })}
      </section>`;
    },
  };
}
