import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { succeed } from '../support/child-program.ts';
import { programPath } from '../support/programs.ts';

export const SYSTEMD = join(import.meta.dirname, '..', '..', 'deploy', 'systemd');
export const UNIT = join(SYSTEMD, 'entrepot.service');

/** The values of a setting of the unit, in their order. */
export async function unitSettings(name: string): Promise<readonly string[]> {
  const lines = (await readFile(UNIT, 'utf8')).split('\n');
  return lines.filter((line) => line.startsWith(`${name}=`)).map((line) => line.slice(name.length + 1));
}

/** The system calls that the unit allows, as systemd on this machine reads its SystemCallFilter. */
export async function allowedSystemCalls(): Promise<readonly string[]> {
  const allowed = new Set<string>();
  for (const setting of await unitSettings('SystemCallFilter')) {
    const taken = setting.startsWith('~');
    for (const name of setting.replace('~', '').split(' '))
      for (const call of await callsOf(name)) {
        if (taken) allowed.delete(call);
        else allowed.add(call);
      }
  }
  return [...allowed];
}

async function callsOf(name: string): Promise<readonly string[]> {
  if (!name.startsWith('@')) return [name];
  const text = await succeed(programPath('systemd-analyze'), ['--no-pager', 'syscall-filter', name]);
  const names = text
    .split('\n')
    .slice(1)
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'));
  return (await Promise.all(names.map(callsOf))).flat();
}
