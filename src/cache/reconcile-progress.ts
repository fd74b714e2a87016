/** What reconciling has come to. Counts are of this run. */
export interface ReconcileProgress {
  /** What it does now; `done` also when there was nothing to do. */
  readonly phase: 'listing' | 'rows' | 'adopting' | 'waiting' | 'done';
  readonly files: number;
  readonly adopted: number;
  readonly adoptedBytes: number;
  /** Of files with other bytes than their names say. */
  readonly quarantined: number;
  /** Of what lies in the store and is no content. */
  readonly strays: number;
  /** Files that could not be read just now: the next process tries again. */
  readonly unreadable: number;
  /** Rows without their file. */
  readonly dropped: number;
  /** Of files that no row tells of yet. */
  readonly unindexedBytes: number;
}
