import { randomUUID } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { constants } from 'node:os';

/**
 * Nothing stays behind when the bench ends, whatever ends it but SIGKILL: an end, an exception, a time limit, a signal.
 * Every process that descends from this one is killed first, then what was told to `undoAtExit` is undone, the last
 * first. Network namespaces of the bench have no name, so that they end with the processes in them.
 */

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
/** What descends from this process has it in its environment, even when its parent has gone. */
const MARK = `BENCH_OF_ENTREPOT=${randomUUID()}`;
/** After SIGKILL; a process in the middle of a write takes some time. */
const END_LIMIT_MS = 5000;

const undos = new Set<() => void>();

/** To be called once, before anything is started. */
export function leaveNothingBehind(): void {
  const [name = '', value = ''] = MARK.split('=');
  process.env[name] = value;
  for (const signal of SIGNALS) {
    // Not once: a second one while the end goes on would end it half done.
    process.on(signal, () => {
      process.stderr.write(`bench: ${signal}: ends what it started\n`);
      process.exit(128 + constants.signals[signal]);
    });
  }
  process.on('exit', () => {
    endDescendants();
    for (const undo of [...undos].toReversed()) {
      try {
        undo();
      } catch (error) {
        process.stderr.write(`bench: ${String(error)}\n`);
      }
    }
  });
}

/** @param undo synchronous, since nothing else runs at the end @returns forgets it again, once it has been done */
export function undoAtExit(undo: () => void): () => void {
  undos.add(undo);
  return () => void undos.delete(undo);
}

/** Stopped processes start no others: once all are stopped, none can escape. */
function endDescendants(): void {
  const found = new Set<number>();
  for (let more = descendants(); more.some((pid) => !found.has(pid)); more = descendants()) {
    for (const pid of more) {
      if (!found.has(pid)) signalTo(pid, 'SIGSTOP');
      found.add(pid);
    }
  }
  for (const pid of found) signalTo(pid, 'SIGKILL');
  const deadline = performance.now() + END_LIMIT_MS;
  while ([...found].some(runs) && performance.now() < deadline) pause(5);
}

function descendants(): readonly number[] {
  const all = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => pid !== process.pid);
  const parents = new Map(all.map((pid) => [pid, statOf(pid)?.parent]));
  const descends = (pid: number): boolean => {
    const parent = parents.get(pid);
    return parent === process.pid || (parent !== undefined && descends(parent));
  };
  return all.filter((pid) => runs(pid) && (descends(pid) || environmentOf(pid).includes(MARK)));
}

function runs(pid: number): boolean {
  const state = statOf(pid)?.state;
  return state !== undefined && state !== 'Z' && state !== 'X';
}

/** Absent when there is no such process. */
function statOf(pid: number): { readonly state: string; readonly parent: number } | undefined {
  const text = textOf(`/proc/${pid}/stat`);
  // The second field is the command's name in brackets and may hold anything.
  const [state, parent] = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return state === undefined || state === '' ? undefined : { state, parent: Number(parent) };
}

function environmentOf(pid: number): readonly string[] {
  return textOf(`/proc/${pid}/environ`).split('\0');
}

function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

function signalTo(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It has ended.
  }
}

function pause(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}
