import { html } from 'hono/html';
import type { EvictEvent, StoreStatus } from '../../../cache/store-events.ts';
import type { StoreOperations } from '../../../cache/store-operations.ts';
import { actionButton } from '../action.ts';
import type { DashboardPage } from '../dashboard-page.ts';
import { badge, bar, bytes, type Content, digest, type Html, percent, when } from '../formats.ts';
import { counted, printCount } from '../../../quantity-text.ts';
import { table } from '../table.ts';

/** Of what would go next, that are shown. */
const VICTIM_LIMIT = 25;
/** What would go first when so much of what is stored had to. */
const VICTIM_SHARE = 0.05;

type Victim = Extract<EvictEvent, { event: 'victim' }>;

/** What is kept, against its limits; how it is; what would go next. */
export function storePage(operations: StoreOperations): DashboardPage {
  return {
    path: '/store',
    title: 'Store',
    content: async ({ now, signal }) => {
      const status = await operations.status(signal);
      const victims = await nextVictims(operations, status.bytes, signal);
      return [usage(status), byUpstream(status), condition(status, now), eviction(victims, now)];
    },
  };
}

/** Looked at only: nothing is given up. */
async function nextVictims(
  operations: StoreOperations,
  storedBytes: number,
  signal: AbortSignal,
): Promise<readonly Victim[]> {
  const victims: Victim[] = [];
  if (storedBytes === 0) return victims;
  const toBytes = Math.floor(storedBytes * (1 - VICTIM_SHARE));
  for await (const event of operations.evict({ toBytes, dryRun: true }, signal)) {
    if (event.event === 'victim') victims.push(event);
    if (victims.length === VICTIM_LIMIT) break;
  }
  return victims;
}

function usage(status: StoreStatus): Html {
  const { limitBytes, reservedBytes, pinned, quarantinedBytes, indexBytes } = status;
  const used = limitBytes === 0 ? 0 : (status.bytes + reservedBytes) / limitBytes;
  const label = `${percent(status.bytes, limitBytes)} of the limit is used`;
  return html`<section aria-labelledby="usage">
    <h2 id="usage">Usage</h2>
    <p>
      <strong>${bytes(status.bytes)}</strong> of ${bytes(limitBytes)} in ${counted(status.blobs, 'blob')}
      <span class="soft">(${percent(status.bytes, limitBytes)})</span>
    </p>
    ${bar(used, label, used > 0.98 ? 'warn' : 'calm')}
    <dl class="facts">
      <dt>Arriving now</dt>
      <dd>${bytes(reservedBytes)} reserved</dd>
      <dt>Pinned</dt>
      <dd>${bytes(pinned.bytes)} in ${counted(pinned.blobs, 'blob')}; never given up</dd>
      <dt>Set aside as damaged</dt>
      <dd>${bytes(quarantinedBytes)}</dd>
      <dt>Index</dt>
      <dd>${bytes(indexBytes)}</dd>
    </dl>
  </section>`;
}

function byUpstream({ byUpstream: shares, bytes: stored }: StoreStatus): Html {
  return html`<section>
    ${table({
      caption: 'By upstream',
      columns: [
        { label: 'Upstream' },
        { label: 'Stored', kind: 'number' },
        { label: 'Share', kind: 'number' },
        { label: 'Blobs', kind: 'number' },
        { label: 'Limit of its own', kind: 'number' },
      ],
      rows: shares.map((share) => [
        share.upstream,
        bytes(share.bytes),
        percent(share.bytes, stored),
        printCount(share.blobs),
        share.limitBytes === undefined ? 'none' : bytes(share.limitBytes),
      ]),
      empty: 'Nothing is stored yet.',
    })}
  </section>`;
}

function condition({ condition: state, scrub, reconcile }: StoreStatus, now: number): Html {
  return html`<section aria-labelledby="condition">
    <div class="head">
      <h2 id="condition">Condition</h2>
      ${actionButton({
        label: 'Verify everything now',
        path: 'verify',
        body: {},
        kind: 'quiet',
        confirm:
          'Every stored file is read and compared with its digest. That takes the disk for a while; pulls go on meanwhile.',
      })}
    </div>
    <dl class="facts">
      <dt>Disk and index</dt>
      <dd>${soundness(state, now)}</dd>
      ${
        scrub === undefined
          ? ''
          : html`<dt>Scrub</dt>
              <dd>${scrubbing(scrub, now)}</dd>`
      }
      ${
        reconcile === undefined
          ? ''
          : html`<dt>After the last start</dt>
              <dd>${reconciling(reconcile)}</dd>`
      }
    </dl>
  </section>`;
}

function soundness(state: StoreStatus['condition'], now: number): Content {
  if (state === undefined) return 'not watched';
  if (state.isSound) return badge('sound', 'good');
  const since = state.since === undefined ? '' : html` (${when(state.since, now)})`;
  return html`${badge('in trouble', 'bad')} ${state.reason ?? 'unknown'}${since}; what is pulled meanwhile is
  passed on without being kept`;
}

function scrubbing(scrub: NonNullable<StoreStatus['scrub']>, now: number): Content {
  const { isRunning, files, bytes: read, damaged, endedAt, nextAt } = scrub;
  const next = nextAt === undefined ? 'off' : html`next ${when(nextAt, now)}`;
  if (!isRunning && files === 0) return next;
  const counts = html`${counted(files, 'file')}, ${bytes(read)},
  ${damaged === 0 ? 'none damaged' : badge(`${damaged} damaged`, 'bad')}`;
  if (isRunning) return html`${badge('running', 'calm')} ${counts}`;
  return html`${counts}${endedAt === undefined ? '' : html`, ended ${when(endedAt, now)}`}; ${next}`;
}

function reconciling(found: NonNullable<StoreStatus['reconcile']>): Content {
  if (found.phase === 'done' && found.files === 0) return 'files and index agreed';
  const left = found.unindexedBytes > 0 ? `, ${bytes(found.unindexedBytes)} to go` : '';
  return `${found.phase}: ${counted(found.files, 'file')}, ${found.adopted} taken in, ${found.quarantined} set aside, ${found.dropped} rows dropped${left}`;
}

function eviction(victims: readonly Victim[], now: number): Html {
  return html`<section>
    ${table({
      caption: 'Given up next',
      columns: [
        { label: 'Content' },
        { label: 'Held by' },
        { label: 'Size', kind: 'number' },
        { label: 'Why' },
      ],
      rows: victims.map((victim) => [
        html`${victim.kind} ${digest(victim.digest)}`,
        victim.holders.length === 0 ? (victim.upstream ?? 'no image') : victim.holders.join(', '),
        bytes(victim.bytes),
        html`Not pinned, and last used ${when(victim.usedAt, now)}`,
      ]),
      empty: 'Nothing would be given up: nothing is stored, or all of it is pinned.',
    })}
    <p class="hint">
      Above 95 % of the limit blobs are given up down to 90 %, those first that are the least likely to be
      wanted again: by when they were last used, and whether more than once. Pinned images stay.
    </p>
  </section>`;
}
