// @ts-check
// What the pages do beside being read: changes by the admin API, said in its own sentences, and copying.

import { printBytes } from './quantities.js';

const root = document.documentElement;
root.classList.add('script');

const NOTICE_MS = 8000;
/** Survives the page being loaded again after a change. */
const NOTICE_KEY = 'entrepot-notice';

const csrfToken = document.querySelector('meta[name="csrf-token"]')?.getAttribute('content') ?? '';

/**
 * @param {string} text
 * @param {'good' | 'bad'} mood
 */
function say(text, mood) {
  const notice = document.createElement('p');
  notice.className = mood;
  notice.textContent = text;
  document.querySelector('#notices')?.replaceChildren(notice);
  // What went wrong stays until something else is said.
  if (mood === 'good') setTimeout(() => notice.remove(), NOTICE_MS);
}

/**
 * @param {string} question
 * @param {string} label of the button that does it
 * @returns {Promise<boolean>}
 */
function confirmed(question, label) {
  const dialog = document.createElement('dialog');
  const text = document.createElement('p');
  text.textContent = question;
  text.id = 'question';
  dialog.setAttribute('aria-labelledby', text.id);
  const form = document.createElement('form');
  form.method = 'dialog';
  form.className = 'row';
  form.append(button('Cancel', 'no', 'quiet'), button(label, 'yes', 'danger'));
  dialog.append(text, form);
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener('close', () => {
      dialog.remove();
      resolve(dialog.returnValue === 'yes');
    });
  });
}

/**
 * @param {string} label
 * @param {string} value
 * @param {string} kind
 */
function button(label, value, kind) {
  const made = document.createElement('button');
  made.value = value;
  made.className = kind;
  made.textContent = label;
  return made;
}

/**
 * What the server says of a failure: one sentence.
 * @param {Response} answer
 */
async function sentenceOf(answer) {
  if (answer.status === 401) return 'You are not signed in any more: load the page again.';
  const text = await answer.text();
  try {
    const { detail, error } = JSON.parse(text);
    return String(detail ?? error?.message ?? text);
  } catch {
    return text || `The server answered ${answer.status}.`;
  }
}

/**
 * Goes through an answer that tells as it goes, a JSON document a line.
 * @param {Response} answer
 * @param {(event: WorkEvent) => void} tell
 */
async function follow(answer, tell) {
  const reader = answer.body?.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  for (;;) {
    const step = await reader?.read();
    if (step === undefined || step.done) break;
    const lines = (rest + step.value).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) {
      if (line.trim() === '') continue;
      const event = JSON.parse(line);
      if (event.end === true) return;
      if (event.error !== undefined) throw new Error(event.detail ?? event.error.message);
      tell(event);
    }
  }
  throw new Error('The answer broke off before it was done.');
}

/** @typedef {{ event: string, blobs?: number, bytes?: number, damaged?: number, failures?: number }} WorkEvent */

/**
 * @param {WorkEvent} event
 * @param {string} path
 */
function told({ event, blobs = 0, bytes = 0, damaged = 0, failures = 0 }, path) {
  const amount = `${blobs} ${blobs === 1 ? 'blob' : 'blobs'}, ${printBytes(bytes)}`;
  const isDone = event === 'done';
  if (path.endsWith('/verify')) {
    if (!isDone) return `Checked so far: ${amount}.`;
    return `Checked ${amount}: ${damaged === 0 ? 'all are sound' : `${damaged} damaged`}.`;
  }
  if (!isDone) return `So far: ${amount}.`;
  return `Done: ${amount} removed${failures > 0 ? `, ${failures} could not be` : ''}.`;
}

/**
 * What became of a change that is done at once.
 * @param {{ pattern?: string, changed?: boolean | string[], images?: number, stillPinnedBy?: string[] }} outcome of a pin, or of a reload
 */
function toldOnce({ pattern, changed, images = 0, stillPinnedBy = [] }) {
  if (Array.isArray(changed)) {
    if (changed.length === 0) return 'Read again: nothing is other than before.';
    return `Read again. These hold now: ${changed.join(', ')}.`;
  }
  if (pattern === undefined) return 'Done.';
  if (stillPinnedBy.length > 0) return `${pattern} is still pinned, by the configuration.`;
  if (changed === false)
    return `${pattern}: nothing changed. It may be pinned by another pattern; see the pins.`;
  return `Done: ${pattern}, ${images} ${images === 1 ? 'image' : 'images'}.`;
}

/**
 * One change: asked about, sent, its outcome said; then the page shows what is now.
 * @param {{ path: string, body: unknown, label: string, confirm?: string | undefined, done?: string | undefined, next?: string | undefined }} change
 */
async function change({ path, body, label, confirm, done, next }) {
  if (confirm !== undefined && !(await confirmed(confirm, label))) return;
  const answer = await fetch(path, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', 'X-CSRF-Token': csrfToken },
    body: JSON.stringify(body),
  });
  if (!answer.ok) throw new Error(await sentenceOf(answer));
  let outcome = done ?? 'Done.';
  if (answer.headers.get('content-type')?.startsWith('application/x-ndjson')) {
    await follow(answer, (event) => {
      if (event.event !== 'done' && event.event !== 'progress') return;
      outcome = told(event, path);
      if (event.event === 'progress') say(outcome, 'good');
    });
  } else if (done === undefined) outcome = toldOnce(await answer.json());
  sessionStorage.setItem(NOTICE_KEY, outcome);
  if (next === undefined) location.reload();
  else location.assign(next);
}

/**
 * @param {HTMLElement} from
 * @param {unknown} body
 * @param {HTMLButtonElement | null} pressed
 */
async function run(from, body, pressed) {
  const { path = '', confirm, done, next } = from.dataset;
  const label = pressed?.firstChild?.textContent?.trim() ?? 'OK';
  if (pressed !== null) pressed.disabled = true;
  try {
    await change({ path, body, label, confirm, done, next });
  } catch (error) {
    say(
      error instanceof TypeError ? 'entrepot cannot be reached.' : /** @type {Error} */ (error).message,
      'bad',
    );
  } finally {
    if (pressed !== null) pressed.disabled = false;
    pressed?.focus();
  }
}

/**
 * What a form says, as the API wants it: see `actionForm`.
 * @param {HTMLFormElement} form
 */
function bodyOf(form) {
  /** @type {Record<string, unknown>} */
  const body = {};
  for (const field of form.elements) {
    if (!(
      field instanceof HTMLInputElement ||
      field instanceof HTMLTextAreaElement ||
      field instanceof HTMLSelectElement
    ))
      continue;
    const { name, value } = field;
    if (name === '' || value.trim() === '') continue;
    const key = name.replace(/(?:\[\]|[?#])$/, '');
    if (name.endsWith('?')) body[key] = field instanceof HTMLInputElement && field.checked;
    else if (name.endsWith('#')) body[key] = Number(value);
    else if (name.endsWith('[]')) body[key] = value.split(/[\s,]+/).filter((part) => part !== '');
    else body[key] = value.trim();
  }
  return body;
}

document.addEventListener('click', (event) => {
  const pressed = event.target instanceof Element ? event.target.closest('button') : null;
  if (pressed === null) return;
  if (pressed.dataset['path'] !== undefined)
    void run(pressed, JSON.parse(pressed.dataset['body'] ?? '{}'), pressed);
  else if (pressed.dataset['copy'] !== undefined) void copy(pressed);
});

document.addEventListener('submit', (event) => {
  const form = event.target;
  if (!(form instanceof HTMLFormElement) || form.dataset['path'] === undefined) return;
  event.preventDefault();
  void run(form, bodyOf(form), form.querySelector('button'));
});

/** @param {HTMLButtonElement} pressed */
async function copy(pressed) {
  const text = document.getElementById(pressed.dataset['copy'] ?? '');
  if (text === null) return;
  try {
    await navigator.clipboard.writeText(text.textContent ?? '');
    say('Copied.', 'good');
  } catch {
    // Browsers give the clipboard to pages over TLS or of this machine only: then it is selected, for the keyboard.
    const range = document.createRange();
    range.selectNodeContents(text);
    getSelection()?.removeAllRanges();
    getSelection()?.addRange(range);
    say('Selected: copy it with the keyboard.', 'good');
  }
}

/**
 * Shows a part of the page as it is now, again and again, until the server says that nothing more will come of it.
 * @param {HTMLElement} part
 */
async function refresh(part) {
  const { refresh: everyMs } = part.dataset;
  if (everyMs === undefined) return;
  await new Promise((resolve) => setTimeout(resolve, Number(everyMs)));
  try {
    const answer = await fetch(location.href);
    if (!answer.ok || answer.redirected) return;
    const next = new DOMParser().parseFromString(await answer.text(), 'text/html').getElementById(part.id);
    if (next === null) return;
    const focused = part.contains(document.activeElement) ? document.activeElement : null;
    const path = focused instanceof HTMLElement ? focused.dataset['path'] : undefined;
    part.replaceWith(next);
    const again = path === undefined ? null : next.querySelector(`[data-path="${CSS.escape(path)}"]`);
    if (again instanceof HTMLElement) again.focus();
    void refresh(next);
  } catch {
    say('entrepot cannot be reached.', 'bad');
  }
}

for (const part of document.querySelectorAll('[data-refresh]'))
  if (part instanceof HTMLElement) void refresh(part);

const notice = sessionStorage.getItem(NOTICE_KEY);
if (notice !== null) {
  sessionStorage.removeItem(NOTICE_KEY);
  say(notice, 'good');
}

// On a phone the pages are a strip: the one that is shown is brought into it.
document.querySelector('.pages [aria-current]')?.scrollIntoView({ block: 'nearest', inline: 'center' });
