// @ts-check
// What goes on right now, by server-sent events, in the place of what the page was loaded with.
import { printBytes, printSpan } from './quantities.js';

/** @typedef {{ id: string, client: string, kind: string, upstream?: string, repository?: string, reference?: string, outcome?: string, sentBytes: number, totalBytes?: number, begunAt: number }} LiveRequest */
/** @typedef {{ upstream: string, digest: string, presentBytes: number, totalBytes?: number, readers: number, begunAt: number }} LiveFill */
/** @typedef {{ at: number, requests: LiveRequest[], requestCount: number, fills: LiveFill[], fillCount: number }} LiveView */

const SVG = 'http://www.w3.org/2000/svg';
const DIGEST_LENGTH = 19;

/**
 * How far something is: in words, and drawn where the end is known.
 * @param {number} done
 * @param {number | undefined} total
 */
function progress(done, total) {
  const parts = document.createElement('div');
  if (total === undefined || total === 0) {
    parts.append(printBytes(done));
    return parts;
  }
  parts.append(`${printBytes(done)} of ${printBytes(total)}`);
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('class', 'bar calm');
  svg.setAttribute('viewBox', '0 0 100 6');
  svg.setAttribute('preserveAspectRatio', 'none');
  svg.setAttribute('aria-hidden', 'true');
  const width = Math.min(100, (done / total) * 100).toFixed(1);
  svg.append(rect('ground', '100'), rect('part', width));
  parts.append(svg);
  return parts;
}

/**
 * @param {string} name
 * @param {string} width
 */
function rect(name, width) {
  const made = document.createElementNS(SVG, 'rect');
  made.setAttribute('class', name);
  made.setAttribute('width', width);
  made.setAttribute('height', '6');
  return made;
}

/** @param {LiveRequest} request */
function nameOf({ kind, upstream, repository, reference }) {
  if (repository === undefined) return kind;
  const digest = reference?.includes(':') === true;
  const short = digest
    ? `@${reference?.slice(0, DIGEST_LENGTH)}…`
    : reference === undefined
      ? ''
      : `:${reference}`;
  return `${upstream === undefined ? '' : `${upstream}/`}${repository}${short}`;
}

/**
 * Fills a table that the server sent the head of.
 * @param {string} id
 * @param {(string | Node)[][]} rows
 * @param {number} count of all, of which `rows` may be some
 */
function show(id, rows, count) {
  const section = document.getElementById(id);
  const table = section?.querySelector('table');
  if (!section || !table) return;
  const labels = [...table.querySelectorAll('thead th')].map((head) => head.textContent?.trim() ?? '');
  table.tBodies[0]?.replaceChildren(...rows.map((cells) => rowOf(cells, labels)));
  table.hidden = rows.length === 0;
  const empty = section.querySelector('.empty');
  if (empty instanceof HTMLElement) empty.hidden = rows.length > 0;
  const total = section.querySelector('.count');
  if (total !== null) total.textContent = String(count);
}

/**
 * @param {(string | Node)[]} cells
 * @param {string[]} labels
 */
function rowOf(cells, labels) {
  const row = document.createElement('tr');
  row.setAttribute('role', 'row');
  cells.forEach((content, at) => {
    const cell = document.createElement(at === 0 ? 'th' : 'td');
    cell.setAttribute('role', at === 0 ? 'rowheader' : 'cell');
    if (at === 0) cell.setAttribute('scope', 'row');
    cell.dataset['label'] = labels[at] ?? '';
    const inner = at === 0 ? cell : document.createElement('div');
    inner.append(content);
    if (inner !== cell) cell.append(inner);
    row.append(cell);
  });
  return row;
}

/** @param {LiveView} view */
function showAll({ at, requests, requestCount, fills, fillCount }) {
  show(
    'live-requests',
    requests.map((request) => [
      nameOf(request),
      request.client,
      request.outcome ?? '–',
      progress(request.sentBytes, request.totalBytes),
      printSpan(at - request.begunAt),
    ]),
    requestCount,
  );
  show(
    'live-fills',
    fills.map((fill) => [
      `${fill.digest.slice(0, DIGEST_LENGTH)}…`,
      fill.upstream,
      String(fill.readers),
      progress(fill.presentBytes, fill.totalBytes),
      printSpan(at - fill.begunAt),
    ]),
    fillCount,
  );
}

/** @param {string} text */
function say(text) {
  const state = document.getElementById('live-state');
  if (state !== null && state.textContent !== text) state.textContent = text;
}

const events = new EventSource('/api/v1/live');
events.addEventListener('message', (event) => {
  showAll(/** @type {LiveView} */ (JSON.parse(event.data)));
  say('live');
});
// The browser connects again by itself.
events.addEventListener('error', () =>
  say(events.readyState === EventSource.CLOSED ? 'not live: load the page again' : 'not live: connecting'),
);
