import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import type { Sample } from './contest.ts';

/** wrk: many small requests at a price that no client in Node can have. */

export interface WrkOptions {
  readonly connections: number;
  readonly seconds: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** A Lua file that says what is asked for. Default: nothing but the URL. */
  readonly script?: string;
  /** Of each body. What was read must be as much as so many answers have. */
  readonly bodyBytes: number;
}

const LIMIT_MS = 60_000;
const UNITS: Readonly<Record<string, number>> = { '': 1, K: 1024, M: 1024 ** 2, G: 1024 ** 3, T: 1024 ** 4 };
/** wrk tells bytes with two decimals. */
const ROUNDING = 0.99;

/** `requestsPerSecond`, `requests`, `p99Ms` and `clientCpuSeconds`. @throws when an answer is not a whole 2xx */
export async function runWrk(wrk: string, url: string, options: WrkOptions): Promise<Sample> {
  const args = [
    '-t1',
    `-c${options.connections}`,
    `-d${options.seconds}s`,
    '--latency',
    ...Object.entries(options.headers ?? {}).flatMap(([name, value]) => ['-H', `${name}: ${value}`]),
    ...(options.script === undefined ? [] : ['-s', options.script]),
    url,
  ];
  // `times` of a shell: what it used itself, then what its children did.
  const { stdout } = await promisify(execFile)('sh', ['-c', '"$@" && times', 'sh', wrk, ...args], {
    timeout: LIMIT_MS,
  });
  return parseWrk(stdout, options.bodyBytes);
}

/** What wrk and the shell's `times` after it said. @throws when an answer was not a whole 2xx */
export function parseWrk(text: string, bodyBytes: number): Sample {
  if (/Non-2xx|Socket errors/.test(text)) throw new Error(`wrk met failures:\n${text}`);
  const part = (pattern: RegExp): readonly string[] => {
    const found = pattern.exec(text);
    if (!found) throw new Error(`wrk did not say what it should:\n${text}`);
    return found.slice(1);
  };
  const [rate] = part(/^Requests\/sec:\s+([\d.]+)$/m);
  const [requests, read, unit = ''] = part(/^\s*(\d+) requests in [\d.]+\w+, ([\d.]+)([KMGT]?)B read$/m);
  const [p99, p99Unit = 'ms'] = part(/^\s*99%\s+([\d.]+)(us|ms|s)$/m);
  if (Number(read) * (UNITS[unit] ?? 1) < Number(requests) * bodyBytes * ROUNDING)
    throw new Error(`wrk read less than ${requests} bodies of ${bodyBytes} bytes:\n${text}`);
  return {
    requests: Number(requests),
    requestsPerSecond: Number(rate),
    p99Ms: Number(p99) * ({ us: 0.001, ms: 1, s: 1000 }[p99Unit] ?? 1),
    clientCpuSeconds: childSeconds(text),
  };
}

/** User and system time in the last line: `0m1.230s 0m0.450s`. */
function childSeconds(text: string): number {
  const last = text.trim().split('\n').at(-1) ?? '';
  const times = [...last.matchAll(/(\d+)m([\d.]+)s/g)];
  return times.reduce((sum, [, minutes, seconds]) => sum + Number(minutes) * 60 + Number(seconds), 0);
}
