import { html } from 'hono/html';
import type { StoreStatus } from '../../../cache/store-events.ts';
import type { StoreOperations } from '../../../cache/store-operations.ts';
import type { WarmJob } from '../../../warm/warm-events.ts';
import type { WarmJobOperations } from '../../../warm/warm-jobs.ts';
import { actionButton, actionForm } from '../action.ts';
import type { DashboardPage } from '../dashboard-page.ts';
import { badge, bar, bytes, type Content, type Html, type Mood, percent, span, when } from '../formats.ts';
import { counted } from '../../../quantity-text.ts';
import { table } from '../table.ts';

type Schedule = NonNullable<StoreStatus['schedules']>[number];

const STATES: Readonly<Record<WarmJob['state'], Mood>> = {
  running: 'calm',
  done: 'good',
  failed: 'bad',
  cancelled: 'warn',
};

export interface WarmPageParts {
  readonly operations: StoreOperations;
  readonly jobs: WarmJobOperations;
}

/** What is fetched before anybody asks: by hand, by the clock, and how far it is. */
export function warmPage({ operations, jobs }: WarmPageParts): DashboardPage {
  return {
    path: '/warm',
    title: 'Fetch ahead',
    content: async ({ now, signal }) => {
      const { schedules = [] } = await operations.status(signal);
      return [starting(), running(jobs.jobs(), now), scheduled(schedules, now)];
    },
  };
}

function starting(): Html {
  return html`<section aria-labelledby="start">
    <h2 id="start">Fetch images now</h2>
    <p class="hint">
      Clients' pulls go first. What is here already is not fetched again. <code>entrepot warm</code> takes
      files, too.
    </p>
    ${actionForm(
      { label: 'Fetch', path: 'warm/jobs', done: 'Begun.' },
      html`<label
          >Images, as you would pull them<textarea
            name="images[]"
            required
            placeholder="nginx:1.27&#10;quay.io/prometheus/prometheus:latest"
          ></textarea>
        </label>
        <label
          >Platforms (all, when empty)<input name="platforms[]" placeholder="linux/amd64, linux/arm64"
        /></label>
        <label class="check"
          ><input type="checkbox" name="withReferrers?" />Signatures, SBOMs and attestations too</label
        >
        <label class="check"><input type="checkbox" name="dryRun?" />Only say what is missing</label>`,
    )}
  </section>`;
}

function running(jobs: readonly WarmJob[], now: number): Html {
  const isRunning = jobs.some(({ state }) => state === 'running');
  return html`<section id="jobs" ${isRunning ? html` data-refresh="2000"` : ''}>
    ${table({
      caption: 'Runs',
      columns: [
        { label: 'Images' },
        { label: 'State' },
        { label: 'Progress' },
        { label: 'Begun' },
        { label: 'Change', kind: 'actions' },
      ],
      rows: jobs.map((job) => [
        html`${job.title}${job.dryRun ? html`<span class="hint">only looking</span>` : ''}`,
        stateOf(job, now),
        progress(job),
        html`${when(job.begunAt, now)}${job.endedAt === undefined ? '' : html`<span class="hint">took ${span(job.endedAt - job.begunAt)}</span>`}`,
        job.state === 'running'
          ? actionButton({
              label: 'Cancel',
              subject: job.title,
              path: `warm/jobs/${job.id}/cancel`,
              body: {},
              kind: 'quiet',
              done: 'Cancelled; what was fetched is kept.',
            })
          : '',
      ]),
      empty: 'Nothing was fetched ahead lately.',
    })}
  </section>`;
}

function stateOf({ state, waiting, problem, failures, failureCount }: WarmJob, now: number): Content {
  return html`${badge(state, STATES[state])}
  ${waiting === undefined ? '' : html`<span class="hint">waits for ${waiting.upstream} (${waiting.why === 'reserve' ? 'the rest of its pulls is kept for clients' : 'it said too many requests'}), looks again ${when(waiting.untilMs, now)}</span>`}
  ${problem === undefined ? '' : html`<span class="hint">${problem}</span>`}
  ${
    failureCount === 0
      ? ''
      : html`<details>
          <summary>${counted(failureCount, 'failure')}</summary>
          <ul>
            ${failures.map(({ image, message }) => html`<li>${image}: ${message}</li>`)}
          </ul>
        </details>`
  }`;
}

function progress({ images, dryRun, state, presentBytes, fetchedBytes, totalBytes }: WarmJob): Content {
  const done = presentBytes + fetchedBytes;
  const failed = images.failed === 0 ? '' : `, ${images.failed} failed`;
  return html`<div>${images.done} of ${counted(images.total, 'image')}${failed}</div>
    ${state === 'running' && totalBytes > 0 ? bar(done / totalBytes, `${percent(done, totalBytes)} of the bytes known so far`) : ''}
    <span class="hint"
      >${bytes(fetchedBytes)} ${dryRun ? 'missing' : 'fetched'}, ${bytes(presentBytes)} were here</span
    >`;
}

function scheduled(schedules: readonly Schedule[], now: number): Html {
  return html`<section>
    ${table({
      caption: 'By the clock',
      columns: [{ label: 'Schedule' }, { label: 'Next' }, { label: 'Last run' }],
      rows: schedules.map(({ name, isRunning, waitingUntil, nextAt, last }) => [
        name,
        isRunning
          ? html`${badge('running', 'calm')}${waitingUntil === undefined ? '' : html` <span class="hint">waits until ${when(waitingUntil, now)}</span>`}`
          : nextAt === undefined
            ? 'never again'
            : when(nextAt, now),
        last === undefined ? 'none yet' : lastRun(last, now),
      ]),
      empty: html`<strong>No schedule is configured.</strong> <code>warm</code> in the configuration fetches
        images every night, or whenever it says.`,
    })}
  </section>`;
}

function lastRun(last: NonNullable<Schedule['last']>, now: number): Html {
  const { outcome, images, failedImages, fetchedBytes, endedAt, problem } = last;
  return html`${outcome} ${when(endedAt, now)}:
  ${counted(images, 'image')}${failedImages === 0 ? '' : html`, ${badge(`${failedImages} failed`, 'warn')}`},
  ${bytes(fetchedBytes)} fetched${problem === undefined ? '' : html`<span class="hint">${problem}</span>`}`;
}
