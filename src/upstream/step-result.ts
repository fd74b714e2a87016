/** What came of one thing that was tried. */
export interface StepResult {
  /** `skipped`: it says nothing, because something before it failed or because there was nothing to ask. */
  readonly outcome: 'ok' | 'warning' | 'failed' | 'skipped';
  /** Safe to show: no query, no credential. */
  readonly detail: string;
}
