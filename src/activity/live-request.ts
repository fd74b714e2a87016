/** A request that is being answered, as whoever answers it holds it: read when somebody looks, never copied before. */
export interface LiveRequest {
  readonly id: string;
  readonly client: string;
  /** By `performance.now()`. */
  readonly startedAt: number;
  readonly sentBytes: number;
  /** Of the body; absent: not known yet. */
  readonly totalBytes: number | undefined;
  readonly record: {
    readonly kind: string;
    readonly upstream: string | undefined;
    readonly repository: string | undefined;
    readonly reference: string | undefined;
    readonly outcome: string | undefined;
  };
}
