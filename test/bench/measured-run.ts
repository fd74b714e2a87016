import { spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';

/** How a program that ran to its end did. */
export interface MeasuredRun {
  readonly seconds: number;
  /** The largest that its resident set was, as last seen before it ended. */
  readonly peakRssBytes: number;
}

const LOOK_EVERY_MS = 20;
const LIMIT_MS = 10 * 60_000;
const ERROR_TEXT_LIMIT = 2000;

/** Runs a program to its end. @throws with what it said when it fails */
export async function measuredRun(file: string, args: readonly string[]): Promise<MeasuredRun> {
  const startedMs = performance.now();
  const child = spawn(file, args, { stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  child.stderr.on('data', (chunk: Buffer) => {
    said = (said + chunk.toString()).slice(-ERROR_TEXT_LIMIT);
  });
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  const timer = setTimeout(() => child.kill('SIGKILL'), LIMIT_MS);
  const looking = new AbortController();
  const peak = peakOf(child.pid, looking.signal);
  try {
    const code = await ended;
    const seconds = (performance.now() - startedMs) / 1000;
    if (code !== 0) throw new Error(`${file} ${args.join(' ')}: exit code ${code}: ${said}`);
    looking.abort();
    return { seconds, peakRssBytes: await peak };
  } finally {
    looking.abort();
    clearTimeout(timer);
  }
}

async function peakOf(pid: number | undefined, signal: AbortSignal): Promise<number> {
  let peak = 0;
  while (!signal.aborted) {
    const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
    const [, kibibytes = '0'] = /^VmHWM:\s+(\d+) kB$/m.exec(status) ?? [];
    peak = Math.max(peak, Number(kibibytes) * 1024);
    await delay(LOOK_EVERY_MS, undefined, { signal }).catch(() => undefined);
  }
  return peak;
}
