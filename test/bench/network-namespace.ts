import { execFile, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { Figure } from './figure.ts';
import type { Needs } from './machine-size.ts';
import type { Workbench } from './workbench.ts';

/**
 * A network namespace without a name, which ends with the processes in it, however they end. Its loopback is shaped for
 * one port alone: what else the processes in it say to each other is not delayed.
 */

const LIMIT_MS = 20 * 60_000;
/** Packets that may be under way: more than any line here holds. */
const PACKETS = 100_000;
const LOOPBACK_UP = 'ip link set lo up';

/** What `wide-area-child` is told. */
export interface ChildOrder {
  readonly nginx: string;
  readonly rounds: number;
  readonly quick: boolean;
  readonly needs: Needs;
}

/** Whether this kernel, and whoever runs this, can. */
export async function canDelay(): Promise<boolean> {
  const script = [LOOPBACK_UP, ...delayCommands(80, 1)].join(' && ');
  return run('unshare', ['--net', 'sh', '-c', script]).then(
    () => true,
    () => false,
  );
}

/** Does the measuring in a process there, with servers of its own. */
export async function inDelayedNetwork(
  bench: Workbench,
  { delayMs, needs }: { readonly delayMs: number; readonly needs: Needs },
): Promise<readonly Figure[]> {
  const script = fileURLToPath(new URL('wide-area-child.js', import.meta.url));
  const child = fork(script, [String(delayMs)], {
    execPath: 'unshare',
    execArgv: ['--net', process.execPath],
    timeout: LIMIT_MS,
  });
  try {
    const { rounds, quick } = bench;
    const nginx = await bench.program('nginx');
    child.send({ nginx, rounds, quick, needs } satisfies ChildOrder);
    return await new Promise((resolve, reject) => {
      child.once('message', (figures) => resolve(figures as readonly Figure[]));
      child.once('error', reject);
      child.once('exit', (code) => reject(new Error(`the process in the namespace ended with ${code}`)));
    });
  } finally {
    child.kill();
  }
}

/** For the process in the namespace, before it listens anywhere. */
export async function raiseLoopback(): Promise<void> {
  await run('sh', ['-c', LOOPBACK_UP]);
}

/** From now on everything to and from that port is under way for so long. */
export async function delayPort(port: number, delayMs: number): Promise<void> {
  await run('sh', ['-c', delayCommands(port, delayMs).join(' && ')]);
}

/** htb hands on at once what no filter takes. */
function delayCommands(port: number, delayMs: number): readonly string[] {
  return [
    'tc qdisc add dev lo root handle 1: htb',
    'tc class add dev lo parent 1: classid 1:1 htb rate 40gbit quantum 60000',
    `tc qdisc add dev lo parent 1:1 netem delay ${delayMs}ms limit ${PACKETS}`,
    ...['sport', 'dport'].map(
      (side) => `tc filter add dev lo parent 1: protocol ip u32 match ip ${side} ${port} 0xffff flowid 1:1`,
    ),
  ];
}

async function run(file: string, args: readonly string[]): Promise<void> {
  const PATH = `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`;
  await promisify(execFile)(file, args, { timeout: 10_000, env: { ...process.env, PATH } });
}
