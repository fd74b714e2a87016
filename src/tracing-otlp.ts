import type { Context, Span, Tracer } from '@opentelemetry/api';
import type { ReadableSpan, SpanExporter } from '@opentelemetry/sdk-trace-node';
import { errorFacts, type Log } from './log.ts';
import type { TraceParent } from './request-cause.ts';
import type { RequestSpan, Tracing, TracingConfig, UpstreamSpan } from './tracing.ts';

/** Spans that wait for the collector, of a kilobyte each; more are dropped. */
const QUEUE_LIMIT = 4096;
const BATCH = 512;
const SEND_EVERY_MS = 2_000;
const SEND_LIMIT_MS = 10_000;
/** What is left at the end has so long. */
const CLOSE_LIMIT_MS = 2_000;

/** The packages, which are loaded together. */
interface Library {
  readonly api: typeof import('@opentelemetry/api');
  readonly sdk: typeof import('@opentelemetry/sdk-trace-node');
  readonly otlp: typeof import('@opentelemetry/exporter-trace-otlp-http');
  readonly resources: typeof import('@opentelemetry/resources');
}

type Provider = InstanceType<Library['sdk']['NodeTracerProvider']>;

/** Spans over OTLP/HTTP, as JSON, by the SDK's own batches. Nothing of it is made global. */
export class OtlpTracing implements Tracing {
  readonly #api: Library['api'];
  readonly #provider: Provider;
  readonly #tracer: Tracer;

  static async open(
    config: TracingConfig,
    { version, log }: { readonly version: string; readonly log: Log },
  ): Promise<OtlpTracing> {
    const [api, sdk, otlp, resources] = await Promise.all([
      import('@opentelemetry/api'),
      import('@opentelemetry/sdk-trace-node'),
      import('@opentelemetry/exporter-trace-otlp-http'),
      import('@opentelemetry/resources'),
    ]);
    const provider = providerOf(config, { api, sdk, otlp, resources }, { version, log });
    return new OtlpTracing(api, provider, provider.getTracer('entrepot', version));
  }

  private constructor(api: Library['api'], provider: Provider, tracer: Tracer) {
    this.#api = api;
    this.#provider = provider;
    this.#tracer = tracer;
  }

  request(traceparent: string | undefined, startedAt: number): RequestSpan {
    const { SpanKind } = this.#api;
    const options = { kind: SpanKind.SERVER, startTime: performance.timeOrigin + startedAt };
    const span = this.#tracer.startSpan('request', options, this.#contextOf(parsedParent(traceparent), true));
    return {
      parent: span.spanContext(),
      end: ({ name, isFailed, attributes }) => {
        span.updateName(name);
        span.setAttributes({ ...attributes });
        this.#end(span, isFailed);
      },
    };
  }

  upstreamRequest({ name, parent, durationMs, isFailed, attributes }: UpstreamSpan): void {
    const { SpanKind } = this.#api;
    const startTime = performance.timeOrigin + performance.now() - durationMs;
    const options = { kind: SpanKind.CLIENT, startTime, attributes: { ...attributes } };
    this.#end(this.#tracer.startSpan(name, options, this.#contextOf(parent, false)), isFailed);
  }

  async close(): Promise<void> {
    const over = new AbortController();
    const late = new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, CLOSE_LIMIT_MS);
      over.signal.addEventListener('abort', () => clearTimeout(timer));
    });
    await Promise.race([this.#provider.shutdown().catch(() => undefined), late]);
    over.abort();
  }

  #end(span: Span, isFailed: boolean): void {
    if (isFailed) span.setStatus({ code: this.#api.SpanStatusCode.ERROR });
    span.end(performance.timeOrigin + performance.now());
  }

  #contextOf(parent: TraceParent | undefined, isRemote: boolean): Context {
    const { ROOT_CONTEXT, trace } = this.#api;
    return parent === undefined ? ROOT_CONTEXT : trace.setSpanContext(ROOT_CONTEXT, { ...parent, isRemote });
  }
}

function providerOf(
  { endpoint, headers, sampleRatio }: TracingConfig,
  { sdk, otlp, resources }: Library,
  { version, log }: { readonly version: string; readonly log: Log },
): Provider {
  const url = `${endpoint.replace(/\/$/, '')}/v1/traces`;
  const exporter = new otlp.OTLPTraceExporter({
    url,
    headers: { ...headers },
    timeoutMillis: SEND_LIMIT_MS,
    concurrencyLimit: 1,
  });
  const ratio = new sdk.TraceIdRatioBasedSampler(sampleRatio);
  return new sdk.NodeTracerProvider({
    resource: resources.resourceFromAttributes({ 'service.name': 'entrepot', 'service.version': version }),
    // A client may ask for less, but not for more than the configuration says.
    sampler: new sdk.ParentBasedSampler({ root: ratio, remoteParentSampled: ratio }),
    spanProcessors: [
      new sdk.BatchSpanProcessor(told(exporter, log), {
        maxQueueSize: QUEUE_LIMIT,
        maxExportBatchSize: BATCH,
        scheduledDelayMillis: SEND_EVERY_MS,
        exportTimeoutMillis: SEND_LIMIT_MS,
      }),
    ],
  });
}

/** Says once that the collector does not take spans, and once that it does again. */
function told(exporter: SpanExporter, log: Log): SpanExporter {
  let isFailing = false;
  return {
    export: (spans: ReadableSpan[], done) =>
      exporter.export(spans, (result) => {
        const hasFailed = result.error !== undefined;
        if (hasFailed && !isFailing)
          log.warn(
            { error: errorFacts(result.error) },
            'traces cannot be sent: those that wait too long are dropped',
          );
        if (!hasFailed && isFailing) log.info({}, 'traces are sent again');
        isFailing = hasFailed;
        done(result);
      }),
    shutdown: () => exporter.shutdown(),
    forceFlush: async () => exporter.forceFlush?.(),
  };
}

/** `traceparent` of W3C trace context, version 00. What is none of it counts as absent. */
function parsedParent(header: string | undefined): TraceParent | undefined {
  const found = /^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/.exec(header ?? '');
  const [, traceId = '', spanId = '', flags = ''] = found ?? [];
  if (found === null || /^0+$/.test(traceId) || /^0+$/.test(spanId)) return undefined;
  return { traceId, spanId, traceFlags: Number.parseInt(flags, 16) & 1 };
}
