/** p99 of the event loop's delay since it was asked last, 10 ms of sampling included. */
export async function lagP99Ms(adminUrl: string): Promise<number> {
  const response = await fetch(`${adminUrl}/metrics`, { signal: AbortSignal.timeout(5000) });
  const seconds = /^nodejs_eventloop_lag_p99_seconds(?:\{.*\})? (\S+)$/m.exec(await response.text())?.[1];
  return Number(seconds) * 1000;
}
