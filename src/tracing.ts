import type { TraceParent } from './request-cause.ts';

/** Where spans go. */
export interface TracingConfig {
  /** Of a collector that speaks OTLP over HTTP; `/v1/traces` is put behind it. */
  readonly endpoint: string;
  /** Sent with every batch; may hold secrets. */
  readonly headers: Readonly<Record<string, string>>;
  /** 0 to 1, of the traces that begin here or that a client sampled. */
  readonly sampleRatio: number;
}

type Attributes = Readonly<Record<string, string | number | boolean | undefined>>;

/** The span of a client's request. */
export interface RequestSpan {
  /** What is done for it belongs here. */
  readonly parent: TraceParent;
  /** Once. @param startedAt by `performance.now()` */
  end(facts: { readonly name: string; readonly isFailed: boolean; readonly attributes: Attributes }): void;
}

export interface UpstreamSpan {
  readonly name: string;
  /** Absent: a span of its own, such as of warming. */
  readonly parent: TraceParent | undefined;
  readonly durationMs: number;
  readonly isFailed: boolean;
  readonly attributes: Attributes;
}

/**
 * Spans of requests, and of what was asked upstream for them. No call throws or waits; what a collector does not take in
 * time is dropped, and said once.
 */
export interface Tracing {
  /** @param traceparent the client's header (W3C trace context), when it sent one @param startedAt by `performance.now()` */
  request(traceparent: string | undefined, startedAt: number): RequestSpan;
  /** One that has just ended. */
  upstreamRequest(span: UpstreamSpan): void;
  /** Sends what is left, for a moment. Never rejects. */
  close(): Promise<void>;
}
