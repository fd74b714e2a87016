/**
 * The client's request that work is done for. It travels with the AbortSignal that the work is done under, so that no
 * layer in between has to hand it on; work that several share is for the one that began it.
 */
export interface RequestCause {
  /** As log lines have it. */
  readonly id: string;
  /** Where spans of what is done for it belong; absent: nothing is traced. */
  readonly trace?: TraceParent | undefined;
}

/** One that is being answered. */
export interface AnsweredRequest extends RequestCause {
  /** Is this the signal that its work is done under? */
  owns(signal: AbortSignal): boolean;
}

/**
 * Those that are being answered. What works under their own signals looks here, once, when an upstream is to be asked:
 * noting the request on each signal would cost every hit a microsecond.
 */
export const answeredRequests = new Set<AnsweredRequest>();

/** As W3C's trace context has it. */
export interface TraceParent {
  readonly traceId: string;
  readonly spanId: string;
  readonly traceFlags: number;
}

const CAUSE = Symbol('cause');

type CausedSignal = AbortSignal & { [CAUSE]?: RequestCause };

/** Absent: no client's request, or nobody said so. */
export function causeOf(signal: AbortSignal): RequestCause | undefined {
  const known = (signal as CausedSignal)[CAUSE];
  if (known !== undefined) return known;
  for (const request of answeredRequests) if (request.owns(signal)) return request;
  return undefined;
}

/** @returns the signal */
export function attachCause(signal: AbortSignal, cause: RequestCause | undefined): AbortSignal {
  if (cause !== undefined) (signal as CausedSignal)[CAUSE] = cause;
  return signal;
}

/** For a signal that stands for another, or for several. @returns the signal */
export function inheritCause(signal: AbortSignal, ...parents: readonly AbortSignal[]): AbortSignal {
  for (const parent of parents) {
    const cause = causeOf(parent);
    if (cause !== undefined) return attachCause(signal, cause);
  }
  return signal;
}
