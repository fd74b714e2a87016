import { expect, test } from 'vitest';
import { GIB, type MachineSize, shortages, treePlace } from './machine-size.ts';

const MACHINE: MachineSize = {
  cores: 2,
  memoryBytes: 8 * GIB,
  diskBytes: 20 * GIB,
  sharedMemoryBytes: 8 * GIB,
  openFiles: 1024,
};

test('a machine that is large enough lacks nothing', () => {
  expect(shortages({}, MACHINE)).toEqual([]);
  const needs = { cores: 2, memoryBytes: 2 * GIB, diskBytes: 10 * GIB, treeBytes: 6 * GIB, openFiles: 1024 };
  expect(shortages(needs, MACHINE)).toEqual([]);
});

test('a machine that is too small is told each thing that it lacks, and how much of it', () => {
  const needs = { cores: 4, memoryBytes: 9 * GIB, diskBytes: 21 * GIB, openFiles: 2000 };
  expect(shortages(needs, MACHINE)).toEqual([
    'it needs 4 cores, here are 2',
    'it needs 9.0 GiB of memory, 8.0 GiB are free',
    'it needs 21.0 GiB of disk for caches, 20.0 GiB are free',
    'its upstream needs 5.0 GiB in /dev/shm, with the memory for it, or on the disk',
    'it needs 2000 open files (ulimit -n), here are 1024',
  ]);
});

test('the upstream is in memory only where that leaves enough of it, else on the disk beside the caches', () => {
  expect(treePlace({ treeBytes: 6 * GIB, memoryBytes: 2 * GIB }, MACHINE)).toBe('/dev/shm');
  expect(treePlace({ treeBytes: 7 * GIB, memoryBytes: 2 * GIB }, MACHINE)).toBe('disk');
  expect(treePlace({ treeBytes: 7 * GIB, memoryBytes: 2 * GIB, diskBytes: 13 * GIB }, MACHINE)).toBe('disk');
  expect(
    treePlace({ treeBytes: 7 * GIB, memoryBytes: 2 * GIB, diskBytes: 14 * GIB }, MACHINE),
  ).toBeUndefined();
});
