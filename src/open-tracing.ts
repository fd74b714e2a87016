import type { Log } from './log.ts';
import type { Tracing, TracingConfig } from './tracing.ts';

/** Nothing of OpenTelemetry is loaded where no tracing is configured. */
export async function openTracing(
  config: TracingConfig | undefined,
  options: { readonly version: string; readonly log: Log },
): Promise<Tracing | undefined> {
  if (config === undefined) return undefined;
  const { OtlpTracing } = await import('./tracing-otlp.ts');
  return OtlpTracing.open(config, options);
}
