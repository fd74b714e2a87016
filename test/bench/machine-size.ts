import { readFile, statfs } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';

/** What a workload takes. Absent: next to nothing. */
export interface Needs {
  readonly cores?: number;
  /** Of all that it starts, itself included; without the upstream's tree. */
  readonly memoryBytes?: number;
  /** Below the temporary directory, for caches. */
  readonly diskBytes?: number;
  /** What is in the upstream's tree at once: in memory where there is room, else on the disk. Default 5 GiB. */
  readonly treeBytes?: number;
  /** The largest number of files and connections of one process. */
  readonly openFiles?: number;
}

export interface MachineSize {
  readonly cores: number;
  /** That is free, or would be made so, for this process's control group. */
  readonly memoryBytes: number;
  /** Free, where temporary directories are. */
  readonly diskBytes: number;
  /** Free in /dev/shm; 0 without one. */
  readonly sharedMemoryBytes: number;
  /** `ulimit -n`. */
  readonly openFiles: number;
}

export const GIB = 1024 ** 3;
const DEFAULT_TREE_BYTES = 5 * GIB;
/** For the machine itself and the programs of the bench. */
const DEFAULT_MEMORY_BYTES = GIB;

/** Where the upstream's tree goes; `undefined` where it fits nowhere. In memory it is in nobody's way. */
export function treePlace(needs: Needs, machine: MachineSize): '/dev/shm' | 'disk' | undefined {
  const { treeBytes = DEFAULT_TREE_BYTES, memoryBytes = DEFAULT_MEMORY_BYTES, diskBytes = 0 } = needs;
  const fitsInMemory =
    machine.sharedMemoryBytes >= treeBytes && machine.memoryBytes >= treeBytes + memoryBytes;
  if (fitsInMemory) return '/dev/shm';
  return machine.diskBytes >= treeBytes + diskBytes ? 'disk' : undefined;
}

/** What this machine lacks for it, each in a sentence; empty when it is large enough. */
export function shortages(needs: Needs, machine: MachineSize): readonly string[] {
  const { cores = 1, memoryBytes = DEFAULT_MEMORY_BYTES, diskBytes = 0, openFiles = 256 } = needs;
  const { treeBytes = DEFAULT_TREE_BYTES } = needs;
  return [
    ...(machine.cores < cores ? [`it needs ${cores} cores, here are ${machine.cores}`] : []),
    ...lacks('memory', memoryBytes, machine.memoryBytes),
    ...lacks('disk for caches', diskBytes, machine.diskBytes),
    ...(treePlace(needs, machine) === undefined
      ? [`its upstream needs ${gib(treeBytes)} in /dev/shm, with the memory for it, or on the disk`]
      : []),
    ...(machine.openFiles < openFiles
      ? [`it needs ${openFiles} open files (ulimit -n), here are ${machine.openFiles}`]
      : []),
  ];
}

function lacks(what: string, wanted: number, there: number): readonly string[] {
  return there < wanted ? [`it needs ${gib(wanted)} of ${what}, ${gib(there)} are free`] : [];
}

function gib(bytes: number): string {
  return `${(bytes / GIB).toFixed(1)} GiB`;
}

/** As it is now. */
export async function machineSize(): Promise<MachineSize> {
  const files = /^Max open files\s+(\d+)/m.exec(await readFile('/proc/self/limits', 'utf8'))?.[1];
  return {
    cores: availableParallelism(),
    memoryBytes: process.availableMemory(),
    diskBytes: await freeBytes(tmpdir()),
    sharedMemoryBytes: await freeBytes('/dev/shm').catch(() => 0),
    openFiles: Number(files ?? Infinity),
  };
}

async function freeBytes(path: string): Promise<number> {
  const { bavail, bsize } = await statfs(path);
  return bavail * bsize;
}
